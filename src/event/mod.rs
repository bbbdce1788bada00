//! Event documents: what hookfire sends, and the checks that come first.
//!
//! An event is an XML document: `<event>` with a type, an action and an object. [`Event::build`] makes one around an
//! [`Object`], [`Event::from_document`] takes a finished one, [`Object::set_all`] changes single fields, [`catalogue`] lists the
//! documented events and [`samples`] has objects for them. [`tree()`] reads documents of any kind,
//! [`extract_xml`] takes a document out of a form.
//!
//! Every [`Object`] and [`Event`] is well-formed XML 1.0 with namespaces, without a DOCTYPE (so without entities that
//! expand), and at most [`MAX_DEPTH`] elements deep. Validity is checked, never repaired, and no schema is checked. All
//! reading goes through `xml.rs`.

mod body_format;
pub mod catalogue;
mod chars;
mod document;
mod edit;
mod encoding;
mod error;
#[cfg(test)]
mod fuzz;
mod object;
mod path;
mod pretty;
#[cfg(test)]
mod proptests;
pub mod samples;
#[cfg(test)]
mod tests;
mod tree;
pub mod xml;

pub use body_format::{BodyFormat, extract_xml};
pub use chars::{escape_attribute, escape_text};
pub use document::{ElementOrder, Event};
pub use error::EventError;
pub use object::Object;
pub use pretty::pretty;
pub use tree::{Element, Node, tree};

/// How many elements deep an object may be nested, its root element counted as the first. Receivers that parse
/// by recursion survive this depth.
pub const MAX_DEPTH: usize = 1_000;

/// `<event>` and `<object>` surround the object's own levels.
pub const MAX_DOCUMENT_DEPTH: usize = MAX_DEPTH + 2;
