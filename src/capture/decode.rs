//! Decodes compressed bodies for display and search. The journal stores them as they were received.

use std::borrow::Cow;
use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// Longer results are refused, and those that are longer than both [`MAX_RATIO`] times the body and [`ALWAYS_ALLOWED`].
const MAX_DECODED_BYTES: usize = 64 * 1024 * 1024;
const MAX_RATIO: usize = 200;
const ALWAYS_ALLOWED: usize = 1024 * 1024;

const BROTLI_BUFFER_BYTES: usize = 4096;

/// More codings one over the other are refused.
const MAX_CODINGS: usize = 3;

/// The body without its `Content-Encoding`, whose value is `coding`; as it is if it has none. The error is a message.
pub fn decoded<'a>(coding: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let coding = coding.trim().to_ascii_lowercase();
    let codings = coding.split(',').map(str::trim);
    let codings: Vec<&str> = codings.filter(|one| !is_none(one)).collect();
    if codings.is_empty() || body.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    if codings.len() > MAX_CODINGS {
        return Err(format!("more than {MAX_CODINGS} encodings"));
    }
    let max = max_decoded_bytes(body.len());
    let mut bytes = Cow::Borrowed(body);
    // The last one was applied last.
    for coding in codings.iter().rev() {
        bytes = Cow::Owned(without(coding, &bytes, max)?);
    }
    Ok(bytes)
}

fn is_none(coding: &str) -> bool {
    matches!(coding, "" | "identity")
}

fn max_decoded_bytes(encoded_bytes: usize) -> usize {
    let by_ratio = encoded_bytes.saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED);
    by_ratio.min(MAX_DECODED_BYTES)
}

fn without(coding: &str, body: &[u8], max: usize) -> Result<Vec<u8>, String> {
    match coding {
        "gzip" | "x-gzip" => read_all(MultiGzDecoder::new(body), max),
        // Some senders leave the zlib header out.
        "deflate" => read_all(ZlibDecoder::new(body), max)
            .or_else(|_| read_all(DeflateDecoder::new(body), max)),
        "br" => read_all(Decompressor::new(body, BROTLI_BUFFER_BYTES), max),
        "zstd" => zstd(body, max),
        _ => Err(format!("the encoding `{coding}` is not supported")),
    }
}

/// Frames one after the other.
fn zstd(mut body: &[u8], max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while !body.is_empty() {
        let frame = StreamingDecoder::new(&mut body).map_err(|error| error.to_string())?;
        bytes.extend(read_all(frame, max - bytes.len())?);
    }
    Ok(bytes)
}

fn read_all(decoder: impl Read, max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = decoder.take(max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() > max {
        true => Err(format!("longer than {} KiB once decoded", max / 1024)),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_both_kinds_of_deflate_are_decoded() {
        let text = b"{\"a\": 1}".as_slice();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(text).unwrap();
        for (coding, body) in [
            ("gzip", gzip(text)),
            ("X-GZip", gzip(text)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
        ] {
            assert_eq!(&*decoded(coding, &body).unwrap(), text, "{coding}");
        }
    }

    fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn brotli_and_zstd_are_decoded() {
        let brotli = b"\x0b\x05\x80hello world\x03".as_slice();
        assert_eq!(&*decoded("br", brotli).unwrap(), b"hello world");
        let two = [zstd_frame(b"hello "), zstd_frame(b"world")].concat();
        assert_eq!(&*decoded("zstd", &two).unwrap(), b"hello world");
        let over = gzip(&zstd_frame(b"hello world"));
        assert_eq!(
            &*decoded("zstd, identity, GZIP", &over).unwrap(),
            b"hello world"
        );
    }

    #[test]
    fn fuzzed_bodies_do_not_panic() {
        let seeds = [
            zstd_frame(b"hello world"),
            b"\x0b\x05\x80hello world\x03".to_vec(),
        ];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        crate::fuzz::fuzz(&seeds, &[], |input| {
            for coding in ["br", "zstd", "gzip, br"] {
                let _ = decoded(coding, input);
            }
        });
    }

    #[test]
    fn bodies_without_a_coding_stay_as_they_are() {
        for (coding, body) in [("", "x"), ("identity", "x"), ("gzip", "")] {
            let same = decoded(coding, body.as_bytes()).unwrap();
            assert!(matches!(same, Cow::Borrowed(_)), "{coding}");
        }
    }

    #[test]
    fn bodies_that_cannot_be_decoded_are_refused() {
        let bomb = gzip(&vec![0; 40 * 1024 * 1024]);
        let zstd_bomb = zstd_frame(&vec![0; 40 * 1024 * 1024]);
        let cut = &gzip(b"text")[..12];
        for (coding, body, problem) in [
            (
                "gzip",
                b"this is not gzip".as_slice(),
                "invalid gzip header",
            ),
            ("gzip", cut, "incomplete deflate stream"),
            ("gzip", &bomb, "longer than"),
            ("br", b"x", ""),
            ("zstd", b"x", ""),
            ("zstd", &zstd_bomb, "longer than"),
            ("gzip, zstd", &zstd_bomb, "longer than"),
            ("lzma", b"x", "`lzma` is not supported"),
            ("br, br, br, br", b"x", "more than 3 encodings"),
        ] {
            let error = decoded(coding, body).unwrap_err();
            assert!(error.contains(problem), "{coding}: {error}");
        }
    }
}
