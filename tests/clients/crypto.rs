//! Tests programs and libraries that read keys or compute digests.

use std::ffi::{c_char, c_int, c_void};
use std::process::Command;
use std::sync::LazyLock;

use super::client::{Answer, Client, From, Leaves, Lent, Way, clients};
use super::load::functions;
use super::programs::{answer, fed, told_the_path};
use crate::support::abi::{INHERIT, WrapOptions};
use crate::support::{fd, tools};

clients![
    OPENSSL_KEY, OPENSSL_PKEY, SSH_KEYGEN, SHA256SUM, SHA256SUM_FED;
    ssh_keygen_refuses_a_private_key_that_others_may_read ["ssh-keygen"],
];

// OpenSSL
// -------------------------------------------------------------------------------------------------

const OPENSSL_KEY: Client = Client {
    needs: &["libssl.so.3", "openssl"],
    file: key_below_comments,
    expected: |_| PEM.1.clone(),
    of_nothing: Err("no key"),
    ..Client::of_a_library("openssl_key", "SSL_CTX_use_PrivateKey_file(PATH)", ssl_key)
};

const OPENSSL_PKEY: Client = Client {
    needs: &["openssl"],
    way: Way::Inherit,
    file: key_below_comments,
    expected: |_| PEM.1.clone(),
    of_nothing: Err("Could not read key"),
    ..Client::new("openssl_pkey", "openssl pkey -in PATH", |lent| {
        answer(Command::new("openssl").args([
            "pkey",
            "-pubout",
            "-outform",
            "DER",
            "-in",
            &lent.path(),
        ]))
    })
};

functions! { "libssl.so.3";
    fn TLS_method() -> *const c_void;
    fn SSL_CTX_new(method: *const c_void) -> *mut c_void;
    fn SSL_CTX_use_PrivateKey_file(context: *mut c_void, path: *const c_char, kind: c_int) -> c_int;
    fn SSL_CTX_get0_privatekey(context: *mut c_void) -> *mut c_void;
    fn SSL_CTX_free(context: *mut c_void);
}

functions! { "libcrypto.so.3";
    fn i2d_PUBKEY(key: *mut c_void, out: *mut *mut u8) -> c_int;
    fn ERR_clear_error();
}

/// Returns the public half of the key that was read.
fn ssl_key(lent: &Lent) -> Answer {
    const SSL_FILETYPE_PEM: c_int = 1;
    // SAFETY: the order of calls is that of OpenSSL's manual; the key is as long as it says.
    unsafe {
        let context = SSL_CTX_new(TLS_method());
        let answer = if SSL_CTX_use_PrivateKey_file(
            context,
            lent.c_path().as_ptr(),
            SSL_FILETYPE_PEM,
        ) == 1
        {
            let key = SSL_CTX_get0_privatekey(context);
            let mut bytes = vec![0; i2d_PUBKEY(key, std::ptr::null_mut()) as usize];
            i2d_PUBKEY(key, &mut bytes.as_mut_ptr());
            Ok(bytes)
        } else {
            Err("no key".into())
        };
        ERR_clear_error();
        SSL_CTX_free(context);
        answer
    }
}

/// A private key as PEM, and its public half as DER.
static PEM: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    tools::run(
        Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&file),
    );
    let public = tools::run(
        Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&file),
    );
    (std::fs::read(file).expect("a key"), public.stdout)
});

/// Returns a key below comments of as many bytes as the payload.
fn key_below_comments(payload: &[u8]) -> Vec<u8> {
    let mut file = b"a comment\n".repeat(payload.len() / 10);
    file.resize(payload.len(), b'\n');
    file.extend_from_slice(&PEM.0);
    file
}

// ssh-keygen
// -------------------------------------------------------------------------------------------------

/// ssh-keygen looks for the end of the key, and takes files of at most 1 MiB.
const SSH_KEYGEN: Client = Client {
    needs: &["ssh-keygen"],
    way: Way::Inherit,
    file: |payload| [&SSH.0, payload].concat(),
    expected: |_| SSH.1.clone(),
    of_nothing: Err("error in libcrypto"),
    ..Client::new("ssh_keygen", "ssh-keygen -y -f PATH", |lent| {
        told_the_path(&["ssh-keygen", "-y", "-f"], lent)
    })
};

/// A private key, and its public half.
static SSH: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    tools::run(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(&file),
    );
    let public = tools::run(Command::new("ssh-keygen").args(["-y", "-f"]).arg(&file)).stdout;
    (std::fs::read(&file).expect("the private key"), public)
});

/// The row above therefore holds only if the mode is right.
fn ssh_keygen_refuses_a_private_key_that_others_may_read() {
    for (mode, is_accepted) in [(0o400, true), (0o600, true), (0o444, false), (0o640, false)] {
        let options = WrapOptions { flags: INHERIT, mode, ..WrapOptions::default() };
        let fd = fd::wrap(&SSH.0, &options).expect("a descriptor");
        let output =
            Command::new("ssh-keygen").args(["-y", "-f", &super::client::path(&fd)]).output();
        let output = output.expect("ssh-keygen");
        assert_eq!(output.status.success(), is_accepted, "{mode:o}: {}", tools::said(&output));
        assert_eq!(
            tools::said(&output).contains("UNPROTECTED"),
            !is_accepted,
            "{}",
            tools::said(&output)
        );
    }
}

// sha256sum
// -------------------------------------------------------------------------------------------------

const EMPTY: &str = "e3b0c44298fc1c14";

const SHA256SUM: Client = Client {
    needs: &["sha256sum"],
    way: Way::Inherit,
    expected: digest,
    of_nothing: Ok(EMPTY),
    ..Client::new("sha256sum", "sha256sum PATH", |lent| {
        told_the_path(&["sha256sum"], lent).map(first_digits)
    })
};

const SHA256SUM_FED: Client = Client {
    name: "sha256sum_fed",
    call: "sha256sum < fd",
    way: Way::Default,
    answer: |lent| fed(&["sha256sum"], lent).map(first_digits),
    reads_from: From::Offset,
    leaves: Leaves::End,
    ..SHA256SUM
};

fn digest(payload: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, payload).expect("written");
    first_digits(tools::run(Command::new("sha256sum").arg(file.path())).stdout)
}

fn first_digits(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(EMPTY.len());
    line
}
