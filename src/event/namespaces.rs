//! Namespaces: which prefixes are bound where, and the rules that make a document valid with them.
//!
//! Deliberately never asks what a namespace means; only that every prefix is declared and no
//! attribute stands twice under two prefixes of one namespace. The rules are those of Namespaces in
//! XML 1.0 (not 1.1: no undeclaring).
//!
//! Invariant: `bindings` holds exactly the declarations of the elements now open; each
//! [`Namespaces::open`] is undone by one [`Namespaces::close`] with the mark it returned.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{Fault, shown};
use super::tag::{Attribute, normalized};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The prefixes in scope. The default namespace is of no interest: no name can fail for want of it.
#[derive(Debug, Default)]
pub(super) struct Namespaces<'a> {
    bindings: HashMap<&'a str, Vec<Cow<'a, str>>>,
    /// Every prefix bound by the open elements, outermost first.
    declared: Vec<&'a str>,
}

impl<'a> Namespaces<'a> {
    /// Enters an element whose name begins at `at`, and returns the mark to leave it by.
    ///
    /// # Errors
    /// A prefix that is not declared or wrongly declared, or an attribute that stands twice.
    pub(super) fn open(
        &mut self,
        name: &str,
        at: usize,
        attributes: &[Attribute<'a>],
    ) -> Result<usize, Fault> {
        let mark = self.declared.len();
        for attribute in attributes {
            self.declare(attribute)?;
        }
        if let Some(colon) = name.bytes().position(|byte| byte == b':') {
            self.resolve(&name[..colon], at)?;
        }
        if !attributes.is_empty() {
            self.refuse_repeated(attributes)?;
        }
        Ok(mark)
    }

    /// Leaves the element that `mark` was returned for.
    pub(super) fn close(&mut self, mark: usize) {
        for prefix in self.declared.drain(mark..) {
            if let Some(bound) = self.bindings.get_mut(prefix) {
                bound.pop();
            }
        }
    }

    fn declare(&mut self, attribute: &Attribute<'a>) -> Result<(), Fault> {
        let prefix = match attribute.name.split_once(':') {
            Some(("xmlns", prefix)) => Some(prefix),
            None if attribute.name == "xmlns" => None,
            _ => return Ok(()),
        };
        let uri = normalized(attribute.value)?;
        let problem = match (prefix, uri.as_ref()) {
            (Some("xmlns"), _) => "the prefix `xmlns` cannot be declared".to_owned(),
            (Some("xml"), XML) => return Ok(()),
            (Some("xml"), _) => "the prefix `xml` cannot be bound to another namespace".to_owned(),
            (_, XML | XMLNS) => format!("the namespace `{uri}` cannot be bound to another prefix"),
            (Some(prefix), "") => format!("the prefix `{}` is bound to nothing", shown(prefix)),
            (Some(prefix), _) => {
                self.bindings.entry(prefix).or_default().push(uri);
                self.declared.push(prefix);
                return Ok(());
            }
            (None, _) => return Ok(()),
        };
        Err(Fault::new(attribute.at, problem))
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<&str, Fault> {
        match prefix {
            "xml" => Ok(XML),
            // As a prefix of an element; declarations are passed over before they come here.
            "xmlns" => Err(Fault::new(
                at,
                "the prefix `xmlns` is reserved for declarations",
            )),
            _ => match self.bindings.get(prefix).and_then(|bound| bound.last()) {
                Some(uri) => Ok(uri),
                None => Err(Fault::new(
                    at,
                    format!("the namespace prefix `{}` is not declared", shown(prefix)),
                )),
            },
        }
    }

    /// Two attributes may differ in prefix and still be one name.
    fn refuse_repeated(&self, attributes: &[Attribute<'a>]) -> Result<(), Fault> {
        let mut names = Vec::new();
        for attribute in attributes {
            if let Some((prefix, local)) = attribute.name.split_once(':')
                && prefix != "xmlns"
            {
                names.push((self.resolve(prefix, attribute.at)?, local, attribute.at));
            }
        }
        names.sort_unstable();
        match names
            .windows(2)
            .find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
        {
            Some(pair) => {
                let problem = format!(
                    "the attribute `{}` stands twice in one namespace",
                    shown(pair[1].1)
                );
                Err(Fault::new(pair[1].2, problem))
            }
            None => Ok(()),
        }
    }
}
