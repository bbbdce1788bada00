//! Getting delivered what was put off: which is due, and who may have it. How it is sent is `batch`'s business.
//!
//! Prints nothing.

pub mod due;
pub mod patience;
pub mod tenant;
