//! `hookfire portal object`, and the object that `fire --portal-object` sends.

use clap::{Args, ValueEnum};

use super::access::{self, PortalArgs};
use crate::cli::args::{TransportArgs, whole_number};
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::event::Object;
use crate::exit::Exit;
use crate::portal::PortalErrorKind;

const EXAMPLES: &str = "\
Examples:
  An account:
    $ hookfire portal object account 42
  A user of an account:
    $ hookfire portal object user 7 --account 42
  An application, to edit and fire:
    $ hookfire portal object application 9 > application.xml";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectType {
    /// A developer account
    Account,
    /// A user of an account
    User,
    /// An application of an account
    Application,
}

/// Print an object of the tenant as XML, as it goes into an event
///
/// `hookfire fire --portal-object ID` fires an event with it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PortalObjectArgs {
    /// The kind of object
    #[arg(value_name = "TYPE", value_enum)]
    object_type: ObjectType,
    /// Its id
    #[arg(value_name = "ID", value_parser = whole_number::<u64>(0..=u64::MAX))]
    id: u64,
    /// Its account; required for a user
    #[arg(long, value_name = "ID", value_parser = whole_number::<u64>(0..=u64::MAX))]
    account: Option<u64>,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

pub(super) fn run(args: &PortalObjectArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let access = (&args.portal, &args.transport);
    let xml = ask(args.object_type, args.id, args.account, access, ctx)?;
    ctx.ui
        .data(|out| out.write_all(&ctx.ui.untrusted_bytes(&xml)))?;
    if !xml.ends_with(b"\n") {
        ctx.ui.line("")?;
    }
    Ok(Exit::Done)
}

pub fn fetch(
    event_type: &str,
    id: u64,
    account: Option<u64>,
    access: (&PortalArgs, &TransportArgs),
    ctx: &Context<'_>,
) -> Result<Object, Failure> {
    let object_type = ObjectType::from_str(event_type, false).map_err(|_| {
        Failure::usage(format!(
            "`--portal-object` supports account, user and application, not `{event_type}`"
        ))
        .hint("give any other object with `--object FILE`")
    })?;
    Ok(Object::parse(&ask(object_type, id, account, access, ctx)?)?)
}

fn ask(
    object_type: ObjectType,
    id: u64,
    account: Option<u64>,
    (portal, transport): (&PortalArgs, &TransportArgs),
    ctx: &Context<'_>,
) -> Result<Vec<u8>, Failure> {
    let number = id.to_string();
    let (path, query) = match (object_type, account) {
        (ObjectType::Account, _) => (format!("accounts/{id}.xml"), vec![]),
        (ObjectType::User, Some(account)) => (format!("accounts/{account}/users/{id}.xml"), vec![]),
        (ObjectType::User, None) => {
            return Err(Failure::usage("a user needs its account's id as well")
                .hint("pass it with `--account ID` (`--portal-account ID` for `fire`)"));
        }
        (ObjectType::Application, Some(account)) => {
            (format!("accounts/{account}/applications/{id}.xml"), vec![])
        }
        (ObjectType::Application, None) => (
            "applications/find.xml".to_owned(),
            vec![("application_id", number.as_str())],
        ),
    };
    let portal = access::client(portal, transport, ctx)?;
    let answered = portal.object(&path, &query).map_err(|e| match e.kind {
        PortalErrorKind::NotFound => Failure::from_error(Kind::NotFound, e)
            .hint("the portal has no such object; its id is in the address of its page in the admin portal"),
        _ => e.into(),
    })?;
    if let Some(cut) = answered.cut {
        let problem = format!("the portal's response {cut}");
        return Err(Failure::new(Kind::Error, problem));
    }
    Object::parse(&answered.body).map_err(|e| {
        Failure::from_error(Kind::Error, e)
            .context("the portal's response is not an object in XML".to_owned())
    })?;
    Ok(answered.body)
}
