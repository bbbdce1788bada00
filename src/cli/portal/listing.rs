//! Fetches and reads the portal's list of failed deliveries.

use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::portal::PortalClient;
use crate::portal::failures::{self, ListError, PortalFailure};
use crate::recovery::{Listed, Listing};

/// Fetches the list and hands each failure to `take`. With `warn`, failures that cannot be read are warnings.
pub fn read(
    ctx: &Context<'_>,
    portal: &PortalClient<'_>,
    warn: bool,
    mut take: impl FnMut(PortalFailure) -> Result<(), Failure>,
) -> Result<Listing, Failure> {
    ctx.ui.transient("fetching the portal's failed deliveries");
    let answered = portal.failures()?;
    let mut listing = Listing {
        made_at: answered.date,
        ..Listing::default()
    };
    let read = failures::each(&mut &answered.body[..], |failure| match failure {
        Ok(failed) => {
            let (uuid, time) = (Some(failed.uuid.clone()), failed.time.clone());
            listing.failures.push(Listed {
                uuid,
                at: Some(failed.at),
                time,
            });
            take(failed)
        }
        Err(broken) => {
            if warn {
                let words =
                    portal.redact(&format!("not readable, and kept on the tenant: {broken}"));
                ctx.ui.warning(&ctx.ui.untrusted(&words));
            }
            listing.failures.push(Listed {
                uuid: None,
                at: broken.at,
                time: String::new(),
            });
            Ok(())
        }
    });
    match (read, answered.cut) {
        (Ok(taken), _) => taken?,
        (Err(ListError::Cut), Some(cut)) => {
            listing.cut = true;
            if warn {
                let count = listing.failures.len();
                ctx.ui.warning(&format!(
                    "the portal's list {cut}; these are its oldest {count}"
                ));
            }
        }
        (Err(e), _) => {
            return Err(Failure::from_error(Kind::Error, e)
                .context("the portal's response is not a list of failed deliveries".to_owned())
                .hint("see that the portal's URL is the admin portal's, such as https://acme-admin.3scale.net"));
        }
    }
    Ok(listing)
}
