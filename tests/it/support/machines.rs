//! A machine whose listener has a read token, another machine that reads it, and one that the other delivers to.

use super::{Invocation, Listener, TestEnv};

pub const READ_TOKEN: &str = "canary-of-the-reader";

pub struct Machines {
    pub there: TestEnv,
    pub here: TestEnv,
    pub program: TestEnv,
}

impl Machines {
    pub fn new() -> Machines {
        let (mut there, mut here) = (TestEnv::new(), TestEnv::new());
        there.set("READER", READ_TOKEN);
        here.set("READER", READ_TOKEN);
        Machines {
            there,
            here,
            program: TestEnv::new(),
        }
    }

    pub fn listener(&self, args: &[&str]) -> Listener {
        Listener::start(&self.there, &with_read_token(args))
    }

    /// A listener whose address another one can use afterwards.
    pub fn listener_to_be_followed(&self, args: &[&str]) -> Listener {
        Listener::start_to_be_followed(&self.there, &with_read_token(args))
    }

    /// A listener at the address of one that has ended.
    pub fn listener_again(&self, port: u16, args: &[&str]) -> Listener {
        Listener::start_at(&self.there, &port.to_string(), &with_read_token(args))
    }

    /// A command that reads the listener at `url`.
    pub fn read(&self, url: &str, args: &[&str]) -> Invocation {
        let from = ["--from", url, "--token", "@env:READER"];
        self.here.hookfire(args).args(from)
    }
}

fn with_read_token<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--read-token", "@env:READER"], args].concat()
}
