//! The outline of a text: which elements there are, who is whose child, and where their tags stand.
//!
//! Deliberately no tree: one flat list is enough to follow a path, and holds no text of its own.
//!
//! Invariant: every span is one of the text, so that an edit can be made by replacing bytes there.

use std::ops::Range;

use super::MAX_DEPTH;
use super::chars::is_blank;
use super::error::EventError;
use super::scan::{Kind, Scanner};
use super::tag::Attribute;

/// Every element of a text, in document order; the root is the first.
pub(super) struct Outline<'a> {
    pub(super) text: &'a str,
    pub(super) elements: Vec<Element<'a>>,
}

pub(super) struct Element<'a> {
    pub(super) name: &'a str,
    /// Into [`Outline::elements`]; the root is its own parent, and nobody's child.
    pub(super) parent: usize,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) open: Range<usize>,
    /// The end tag; `None` for `<x/>`.
    pub(super) close: Option<Range<usize>>,
    /// Characters other than white space directly in it.
    pub(super) has_text: bool,
}

impl Element<'_> {
    pub(super) fn end(&self) -> usize {
        self.close.as_ref().unwrap_or(&self.open).end
    }

    /// What stands between the tags; `None` for `<x/>`.
    pub(super) fn content(&self) -> Option<Range<usize>> {
        self.close.as_ref().map(|close| self.open.end..close.start)
    }
}

impl<'a> Outline<'a> {
    pub(super) fn of(text: &'a str) -> Result<Outline<'a>, EventError> {
        let mut elements: Vec<Element<'_>> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for token in Scanner::new(text, MAX_DEPTH)? {
            let token = token?;
            match token.kind {
                Kind::Open {
                    name,
                    attributes,
                    empty,
                } => {
                    let parent = open.last().copied().unwrap_or(0);
                    if !empty {
                        open.push(elements.len());
                    }
                    elements.push(Element {
                        name,
                        parent,
                        attributes,
                        open: token.span,
                        close: None,
                        has_text: false,
                    });
                }
                Kind::Close => {
                    if let Some(closed) = open.pop() {
                        elements[closed].close = Some(token.span);
                    }
                }
                Kind::Text(text) if is_blank(text) => {}
                Kind::Text(_) | Kind::Reference(_) | Kind::CData(_) => {
                    if let Some(&around) = open.last() {
                        elements[around].has_text = true;
                    }
                }
                Kind::Declaration | Kind::Aside => {}
            }
        }
        Ok(Outline { text, elements })
    }

    /// The elements directly in `parent`, as places in [`Outline::elements`].
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        (1..self.elements.len()).filter(move |&child| self.elements[child].parent == parent)
    }
}
