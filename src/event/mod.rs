//! The event document: what hookfire sends, and the checks it must pass first.
//!
//! An event is one XML document, `<event>` with a type, an action and an object. This module builds
//! one around an [`Object`], takes a finished one from a file ([`Event::from_document`]), changes
//! single fields ([`Object::set`]), knows the documented events ([`catalogue`]), has samples of
//! their objects ([`samples`]), writes the failed list in 3scale's own form ([`failures`]), and
//! looks into what others sent ([`carried`], [`Selector`]).
//!
//! Deliberately not here: HTTP, files, the journal, and any reformatting of what is sent. Validity
//! is checked, never repaired; a schema is not checked at all, for an endpoint is tested best with
//! objects that no schema foresaw.
//!
//! Invariant: an [`Object`] or [`Event`] that exists is well-formed XML 1.0 with namespaces, has no
//! DOCTYPE (hence no entities to blow up), and is nested at most [`MAX_DEPTH`] elements deep. Each
//! way in and each edit goes through the one scanner, which is strict where quick-xml is lenient;
//! no other file looks at quick-xml.
//!
//! ```text
//! bytes ── encoding ──> text ── scan ──┬──> object ── edit
//!                            (tag,      ├──> document
//!                            namespaces,├──> pretty
//!                            chars)     ├──> failures
//!                                       ├──> tree
//!                                       └──> selector
//! ```

mod body_format;
pub mod catalogue;
mod chars;
mod document;
mod edit;
mod encoding;
mod error;
pub mod failures;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod laws;
mod namespaces;
mod object;
mod outline;
mod path;
mod pretty;
pub mod samples;
mod scan;
mod selector;
mod tag;
#[cfg(test)]
mod tests;
mod tree;

pub use body_format::{BodyFormat, carried};
pub use chars::{escape_attribute_lossy, escape_text_lossy};
pub use document::{ElementOrder, Event};
pub use error::EventError;
pub use object::Object;
pub use pretty::pretty;
pub use selector::{Found, Selector, Step};
pub use tree::{Element, Node, tree};

/// How many elements deep an object may be nested, its root element counted as the first.
///
/// Far more than any real object needs, and little enough that a receiver which parses by recursion
/// survives it.
pub const MAX_DEPTH: usize = 1_000;

/// [`MAX_DEPTH`] for a whole document: `<event>` and `<object>` come on top of the object's own
/// levels.
const MAX_DOCUMENT_DEPTH: usize = MAX_DEPTH + 2;
