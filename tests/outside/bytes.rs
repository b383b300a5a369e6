//! A server that hands out parts of one sealed file as `bytes::Bytes`, without a copy.

use std::collections::HashMap;
use std::io::{self, Write};

use bytefd::MapWriter;
use bytes::Bytes;

/// The parts of a body, by name.
struct Assets(HashMap<&'static str, Bytes>);

impl Assets {
    fn pack(parts: &[(&'static str, &[u8])]) -> io::Result<Assets> {
        let mut writer = MapWriter::new()?;
        for (_, content) in parts {
            writer.write_all(content)?;
        }
        let all = Bytes::from_owner(writer.seal_timeout(None)?);
        let mut start = 0;
        let cut = parts.iter().map(|(name, content)| {
            start += content.len();
            (*name, all.slice(start - content.len()..start))
        });
        Ok(Assets(cut.collect()))
    }
}

#[test]
fn parts_of_a_sealed_file_outlive_it_without_a_copy() {
    let large = super::pattern(3 << 20);
    for content in [&large[..], b"body {}"] {
        let assets =
            Assets::pack(&[("index.html", b"<html>"), ("style.css", content), ("empty", b"")])
                .unwrap();
        let style = assets.0["style.css"].clone();
        // One file: the parts follow each other in memory.
        assert_eq!(assets.0["index.html"].as_ptr().wrapping_add(6), style.as_ptr());
        assert!(assets.0["empty"].is_empty());
        drop(assets);
        let sent: Vec<_> = (0..3)
            .map(|n| {
                let part = style.slice(n..);
                std::thread::spawn(move || part.to_vec())
            })
            .collect();
        drop(style);
        for (n, thread) in sent.into_iter().enumerate() {
            assert!(thread.join().unwrap() == content[n..]);
        }
    }
}
