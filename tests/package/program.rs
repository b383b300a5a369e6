//! Wraps bytes in a first program with the library, and reads them back from the descriptor's path.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fd = bytefd::wrap(b"hello\n")?;
    print!("{}", std::fs::read_to_string(bytefd::path(&fd))?);
    let length =
        bytefd::scan(b"hello", |fd| std::fs::metadata(bytefd::path(&fd)).map(|file| file.len()))??;
    assert_eq!(length, 5);
    let mut bytes = [0; 5];
    bytefd::MapOptions::new().map_fd(&fd)?.read_exact_at(&mut bytes, 0)?;
    assert_eq!(&bytes, b"hello");
    Ok(())
}
