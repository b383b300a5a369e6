//! A document that is encoded into memory which becomes a file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use bytefd::{MapWriter, Sealed};
use serde_json::{Value, json};

fn document(rows: usize) -> Value {
    let row = |n| json!({ "id": n, "name": format!("row {n}") });
    json!({ "rows": (0..rows).map(row).collect::<Vec<_>>() })
}

/// Encodes the document, after a header with its length.
fn encode(document: &Value) -> io::Result<Sealed> {
    let mut writer = MapWriter::new()?;
    writer.write_all(&[0; 8])?;
    let mut buffered = BufWriter::new(writer);
    serde_json::to_writer(&mut buffered, document)?;
    let mut writer = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    let length = writer.written() as u64 - 8;
    writer.seek(SeekFrom::Start(0))?;
    writer.write_all(&length.to_le_bytes())?;
    Ok(writer.seal_timeout(None)?)
}

#[test]
fn a_document_is_encoded_in_place_and_read_from_the_descriptor() {
    for rows in [0, 1, 20_000] {
        let document = document(rows);
        let sealed = encode(&document).unwrap();
        let (header, body) = sealed.split_at(8);
        assert_eq!(u64::from_le_bytes(header.try_into().unwrap()), body.len() as u64);
        assert!(serde_json::from_slice::<Value>(body).unwrap() == document);
        // Another program reads it like this.
        let mut file = File::open(bytefd::path(&sealed)).unwrap();
        file.seek(SeekFrom::Start(8)).unwrap();
        assert!(serde_json::from_reader::<_, Value>(io::BufReader::new(file)).unwrap() == document);
    }
}
