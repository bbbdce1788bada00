//! Reads the captures of a listener on another machine.
//!
//! [`Remote`] is the client of the API that `hookfire listen` serves below `/_hookfire/api/v1/`, which transfers captures
//! without loss, and [`follow()`] reads captures as they arrive. `form` has the JSON of that API, for both sides; man page hookfire-listen(7) documents it. `error` says
//! what can go wrong. Nothing that a remote sends is trusted: sizes are limited, and redirects are not followed, so that
//! the token goes nowhere else.

mod client;
mod error;
mod events;
mod follow;
pub mod form;

pub use client::{Remote, RemoteAddress};
pub use error::{AddressError, RemoteError, RemoteErrorKind};
pub use follow::{Followed, FollowedCapture, follow};
