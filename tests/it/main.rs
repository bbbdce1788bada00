//! The end-to-end stories, one file each, in one binary.

mod support;
mod support_itself;
mod wire;
