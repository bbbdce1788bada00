//! The headers of a new signature.

use super::Key;
use super::payload::TemplatePart;
use super::scheme::{Layout, Scheme};
use crate::secret::{MASK, Redactor, Secret};
use crate::time::UnixMs;

/// The headers of a signature. Their values contain signatures, which must not be shown.
pub struct NewSignature {
    pub headers: Vec<(String, String)>,
    signatures: Vec<(String, Vec<u8>)>,
}

impl NewSignature {
    /// Makes the redactor mask the signatures.
    pub fn mask_in(&self, redactor: &mut Redactor) {
        for (text, bytes) in &self.signatures {
            redactor.add([&Secret::new(text)]);
            redactor.add_bytes(bytes);
        }
    }
}

/// Signs requests: a scheme, and the keys of its secrets.
#[derive(Clone, Debug)]
pub struct Signer {
    scheme: Scheme,
    /// At least one. A scheme with several signatures in a header uses all of them, any other the first one.
    keys: Vec<Key>,
}

impl Signer {
    pub fn new(scheme: Scheme, keys: Vec<Key>) -> Signer {
        Signer { scheme, keys }
    }

    /// Makes the redactor mask the keys, in the forms in which they can be written.
    pub fn mask_keys_in(&self, redactor: &mut Redactor) {
        for Key(bytes) in &self.keys {
            redactor.add_bytes(bytes);
            if let Ok(text) = std::str::from_utf8(bytes) {
                redactor.add([&Secret::new(text)]);
            }
        }
    }

    /// Whether a signed request must not have this header of an earlier signature.
    pub fn replaces(&self, header: &str) -> bool {
        // GitHub sends an older signature with SHA-1 as well.
        self.scheme.has_header(header)
            || Scheme::known()
                .iter()
                .any(|scheme| scheme.has_header(header))
            || header.eq_ignore_ascii_case("X-Hub-Signature")
    }

    pub fn signs_id(&self) -> bool {
        self.scheme.payload.contains(TemplatePart::Id)
    }

    /// Signs a request of the delivery or capture `id` that is sent at this time.
    pub fn sign(&self, id: &[u8], at: UnixMs, body: &[u8]) -> NewSignature {
        let timestamp = at.0.div_euclid(1000).to_string();
        let scheme = &self.scheme;
        let used = match scheme.layout {
            Layout::Single { .. } => 1,
            Layout::List | Layout::Pairs => self.keys.len(),
        };
        let signatures = self.keys.iter().take(used).map(|key| {
            let tag = scheme.tag(&scheme.payload, key, id, &timestamp, body);
            (scheme.encoding.encode(tag.as_ref()), tag.as_ref().to_vec())
        });
        let signatures: Vec<(String, Vec<u8>)> = signatures.collect();
        let texts: Vec<&str> = signatures.iter().map(|(text, _)| text.as_str()).collect();
        NewSignature {
            headers: scheme.headers(&timestamp, &texts),
            signatures,
        }
    }
}

impl Scheme {
    fn has_header(&self, name: &str) -> bool {
        let timestamp = self.timestamp_header.as_deref();
        let mut names = [Some(&*self.header), timestamp].into_iter().flatten();
        names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The headers of a signature as they may be shown before there is one.
    pub fn masked_headers(&self, timestamp: &str) -> Vec<(String, String)> {
        self.headers(timestamp, &[MASK])
    }

    fn headers(&self, timestamp: &str, signatures: &[&str]) -> Vec<(String, String)> {
        let each = |prefix: &str, between: &str| {
            let all = signatures.iter().map(|text| format!("{prefix}{text}"));
            all.collect::<Vec<_>>().join(between)
        };
        let value = match &self.layout {
            Layout::Single { prefix } => each(prefix, ""),
            Layout::List => each("v1,", " "),
            Layout::Pairs => format!("t={timestamp},{}", each("v1=", ",")),
        };
        let header = self.timestamp_header.as_deref();
        let mut headers: Vec<(String, String)> = header
            .map(|name| (name.to_owned(), timestamp.to_owned()))
            .into_iter()
            .collect();
        headers.push((self.header.clone().into_owned(), value));
        headers
    }
}
