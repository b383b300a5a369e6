//! Sends a descriptor in a message of GDBus, from one process to another.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::ptr::{null, null_mut};
use std::sync::mpsc::{Sender, channel};

use super::client::{Answer, Client, Lent, Pipe, clients};
use super::load::functions;
use crate::pool::{fork, wait_for};
use crate::support::fd;

clients![GDBUS];

const GDBUS: Client = Client {
    needs: &["libgio-2.0.so.0"],
    pipe: Pipe::Untried,
    ..Client::of_a_library("gdbus", "g_unix_fd_list_append", sent)
};

functions! { "libgio-2.0.so.0";
    fn g_socket_new_from_fd(fd: c_int, error: *mut *mut c_void) -> *mut c_void;
    fn g_socket_connection_factory_create_connection(socket: *mut c_void) -> *mut c_void;
    fn g_dbus_generate_guid() -> *mut c_char;
    fn g_dbus_connection_new_sync(
        stream: *mut c_void,
        guid: *const c_char,
        flags: c_int,
        observer: *mut c_void,
        cancellable: *mut c_void,
        error: *mut *mut c_void,
    ) -> *mut c_void;
    fn g_dbus_connection_add_filter(
        connection: *mut c_void,
        filter: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int, *mut c_void) -> *mut c_void,
        context: *mut c_void,
        free: *const c_void,
    ) -> u32;
    fn g_dbus_connection_start_message_processing(connection: *mut c_void);
    fn g_dbus_connection_send_message(
        connection: *mut c_void,
        message: *mut c_void,
        flags: c_int,
        serial: *mut u32,
        error: *mut *mut c_void,
    ) -> c_int;
    fn g_dbus_connection_flush_sync(
        connection: *mut c_void,
        cancel: *mut c_void,
        error: *mut *mut c_void,
    ) -> c_int;
    fn g_dbus_message_new_signal(
        path: *const c_char,
        interface: *const c_char,
        name: *const c_char,
    ) -> *mut c_void;
    fn g_dbus_message_set_body(message: *mut c_void, body: *mut c_void);
    fn g_dbus_message_set_unix_fd_list(message: *mut c_void, list: *mut c_void);
    fn g_dbus_message_get_unix_fd_list(message: *mut c_void) -> *mut c_void;
    fn g_unix_fd_list_new() -> *mut c_void;
    fn g_unix_fd_list_append(list: *mut c_void, fd: c_int, error: *mut *mut c_void) -> c_int;
    fn g_unix_fd_list_get(list: *mut c_void, index: c_int, error: *mut *mut c_void) -> c_int;
    fn g_variant_new_handle(index: i32) -> *mut c_void;
    fn g_variant_new_tuple(children: *const *mut c_void, count: usize) -> *mut c_void;
}

/// Returns what the other process reads.
fn sent(lent: &Lent) -> Answer {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let found = tempfile::tempfile().expect("a file");
    let receiver = fork(|| {
        let bytes = received(theirs.try_clone().expect("dup").into());
        found.write_all_at(&bytes, 0).expect("written");
    });
    let sender = fork(|| send(ours.try_clone().expect("dup").into(), lent.number()));
    // The receiver finds the end of the connection if the sender fails.
    drop((ours, theirs));
    wait_for(sender);
    wait_for(receiver);
    Ok(fd::content(&found.into()))
}

/// Makes a connection of one end of a pair of sockets, which it takes over.
fn connection(socket: OwnedFd, flags: c_int) -> *mut c_void {
    // SAFETY: the order of calls is that of GIO's manual.
    unsafe {
        let socket = g_socket_new_from_fd(socket.into_raw_fd(), null_mut());
        let stream = g_socket_connection_factory_create_connection(socket);
        let guid = if flags & SERVER != 0 { g_dbus_generate_guid() } else { null_mut() };
        let connection =
            g_dbus_connection_new_sync(stream, guid, flags, null_mut(), null_mut(), null_mut());
        assert!(!connection.is_null(), "g_dbus_connection_new_sync");
        connection
    }
}

const CLIENT: c_int = 1;
const SERVER: c_int = 2;
const DELAY_MESSAGE_PROCESSING: c_int = 16;

fn send(socket: OwnedFd, fd: c_int) {
    let connection = connection(socket, CLIENT);
    // SAFETY: as above.
    unsafe {
        let list = g_unix_fd_list_new();
        let index = g_unix_fd_list_append(list, fd, null_mut());
        assert_eq!(index, 0, "g_unix_fd_list_append");
        let message = g_dbus_message_new_signal(
            c"/".as_ptr(),
            c"org.example.Bytes".as_ptr(),
            c"Come".as_ptr(),
        );
        g_dbus_message_set_body(message, g_variant_new_tuple(&g_variant_new_handle(index), 1));
        g_dbus_message_set_unix_fd_list(message, list);
        assert_eq!(
            g_dbus_connection_send_message(connection, message, 0, null_mut(), null_mut()),
            1
        );
        assert_eq!(g_dbus_connection_flush_sync(connection, null_mut(), null_mut()), 1);
        // The message has a duplicate.
        assert!(libc::fcntl(fd, libc::F_GETFD) >= 0, "the descriptor is the caller's");
    }
}

fn received(socket: OwnedFd) -> Vec<u8> {
    unsafe extern "C" fn take(
        _: *mut c_void,
        message: *mut c_void,
        _: c_int,
        found: *mut c_void,
    ) -> *mut c_void {
        // SAFETY: the context is the sender below, which lives as long as the process.
        unsafe {
            let list = g_dbus_message_get_unix_fd_list(message);
            if !list.is_null() {
                let fd = g_unix_fd_list_get(list, 0, null_mut());
                let _ = (*found.cast::<Sender<OwnedFd>>())
                    .send(std::os::fd::FromRawFd::from_raw_fd(fd));
            }
        }
        message
    }
    let connection = connection(socket, SERVER | DELAY_MESSAGE_PROCESSING);
    let (found, finds) = channel();
    let found = Box::leak(Box::new(found));
    // SAFETY: as above.
    unsafe {
        g_dbus_connection_add_filter(connection, take, (&raw mut *found).cast(), null());
        g_dbus_connection_start_message_processing(connection);
    }
    let fd: OwnedFd = finds.recv().expect("a descriptor");
    assert!(fd.as_raw_fd() > 2 && fd::is_close_on_exec(&fd));
    fd::content(&fd)
}
