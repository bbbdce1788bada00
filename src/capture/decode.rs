//! Decodes compressed bodies for display and search. The journal stores them as they were received.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Longer results are refused, and those that are longer than both [`MAX_RATIO`] times the body and [`ALWAYS_ALLOWED`].
const MAX_DECODED_BYTES: usize = 64 * 1024 * 1024;
const MAX_RATIO: usize = 200;
const ALWAYS_ALLOWED: usize = 1024 * 1024;

/// The body without its `Content-Encoding`, whose value is `coding`; as it is if it has none. The error is a message.
pub fn decoded<'a>(coding: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let coding = coding.trim().to_ascii_lowercase();
    let decoded = match coding.as_str() {
        _ if body.is_empty() => return Ok(Cow::Borrowed(body)),
        "" | "identity" => return Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => read_all(MultiGzDecoder::new(body), body.len()),
        // Some senders leave the zlib header out.
        "deflate" => read_all(ZlibDecoder::new(body), body.len())
            .or_else(|_| read_all(DeflateDecoder::new(body), body.len())),
        _ => Err(format!("the encoding `{coding}` is not supported")),
    };
    decoded.map(Cow::Owned)
}

fn read_all(decoder: impl Read, encoded_bytes: usize) -> Result<Vec<u8>, String> {
    let by_ratio = encoded_bytes.saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED);
    let max = by_ratio.min(MAX_DECODED_BYTES);
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
        let cut = &gzip(b"text")[..12];
        for (coding, body, problem) in [
            (
                "gzip",
                b"this is not gzip".as_slice(),
                "invalid gzip header",
            ),
            ("gzip", cut, "incomplete deflate stream"),
            ("gzip", &bomb, "longer than"),
            ("br", b"x", "`br` is not supported"),
            ("gzip, br", b"x", "`gzip, br` is not supported"),
        ] {
            let error = decoded(coding, body).unwrap_err();
            assert!(error.contains(problem), "{coding}: {error}");
        }
    }
}
