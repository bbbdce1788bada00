//! Which deliveries a bulk command is about: named ids, a filter, or all; never all by accident.

use super::context::Context;
use crate::cli::settings;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::{Failure, Kind};
use crate::event::catalogue;
use crate::journal::store::Seen;
use crate::journal::{Journal, Query};
use crate::text;

/// A scope that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These, each of which must exist and be in the failed list.
    Ids(Vec<i64>),
    /// Those of the failed list that match; all of it if the filter is empty.
    Failed(Filter),
}

impl Scope {
    /// Settles what was typed; `command` is what the hints show.
    ///
    /// # Errors
    /// When nothing or two kinds of scope are named.
    pub fn settle(ids: &[i64], filter: Filter, all: bool, command: &str) -> Result<Scope, Failure> {
        let (example, list) = ("42", "hookfire failed list");
        let words = Words {
            command,
            things: "deliveries",
            example,
            filter: "--type account",
            list,
        };
        Ok(settle(ids, !filter.is_empty(), all, &words)?.map_or(Scope::Failed(filter), Scope::Ids))
    }

    /// Whether it may be more than the user has in mind: anything but named ids.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Scope::Failed(_))
    }

    /// Hints at words of the filter that name nothing known.
    pub fn hint_at_unknown(&self, ctx: &Context<'_>) {
        if let Scope::Failed(filter) = self {
            hint_at_unknown(ctx, filter);
        }
    }

    /// Says how the rest of the failed list gets to an endpoint that nothing in it is meant for: what was imported is meant
    /// for none.
    ///
    /// # Errors
    /// When the journal or the configuration cannot be read.
    pub fn hint_at_others(
        &self,
        ctx: &Context<'_>,
        journal: Option<&dyn Journal>,
    ) -> Result<(), Failure> {
        let (Scope::Failed(filter), Some(journal)) = (self, journal) else {
            return Ok(());
        };
        let Some(name) = &filter.endpoint else {
            return Ok(());
        };
        let only_endpoint = *filter
            == Filter {
                endpoint: filter.endpoint.clone(),
                ..Filter::default()
            };
        let others = journal.count(&Query::failed(Filter::default()))?;
        if only_endpoint && others > 0 && ctx.config()?.endpoints.contains_key(name) {
            let (are, them) = if others == 1 {
                ("is", "it")
            } else {
                ("are", "them")
            };
            ctx.ui.hint(&format!(
                "{others} in the failed list {are} not meant for `{name}`; `hookfire retry --all --endpoint {name}` sends {them} there"
            ));
        }
        Ok(())
    }

    /// How many deliveries there are, of which so many were seen, and no more than `most` were looked at.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn total(
        &self,
        journal: &dyn Journal,
        seen: usize,
        most: Option<usize>,
    ) -> Result<usize, Failure> {
        match self {
            Scope::Failed(filter) if most == Some(seen) => {
                Ok(journal.count(&Query::failed(filter.clone()))?)
            }
            _ => Ok(seen),
        }
    }

    /// The deliveries, oldest failure first for a filter, as they were typed otherwise; of a filter no more than `most`.
    ///
    /// # Errors
    /// When a named id does not exist or is not in the failed list.
    pub fn seen(
        &self,
        journal: Option<&dyn Journal>,
        most: Option<usize>,
    ) -> Result<Vec<Seen>, Failure> {
        match (self, journal) {
            (Scope::Failed(filter), Some(journal)) => Ok(journal.seen(&Query {
                limit: most,
                ..Query::failed(filter.clone())
            })?),
            (Scope::Failed(_), None) => Ok(Vec::new()),
            (Scope::Ids(ids), journal) => {
                let named = ids.iter().map(|&id| in_failed_list(journal, id));
                named
                    .map(|found| {
                        found.map(|delivery| Seen {
                            id: delivery.id,
                            attempts: delivery.attempt_count,
                        })
                    })
                    .collect()
            }
        }
    }
}

/// What a command about several things calls them.
pub struct Words<'a> {
    /// The command, for hints.
    pub command: &'a str,
    /// The things.
    pub things: &'a str,
    /// An id.
    pub example: &'a str,
    /// What narrows.
    pub filter: &'a str,
    /// The command that lists them.
    pub list: &'a str,
}

/// The named ids, each once, as they were typed; none for a filter or all.
///
/// # Errors
/// When nothing or two kinds of scope are named.
pub fn settle(
    ids: &[i64],
    filtered: bool,
    all: bool,
    words: &Words<'_>,
) -> Result<Option<Vec<i64>>, Failure> {
    let Words {
        command,
        things,
        example,
        filter,
        list,
    } = words;
    match (ids, filtered, all) {
        ([], true, false) | ([], false, true) => Ok(None),
        ([_, ..], false, false) => {
            let mut seen = std::collections::HashSet::new();
            Ok(Some(ids.iter().copied().filter(|id| seen.insert(*id)).collect()))
        }
        ([], false, false) => Err(Failure::usage(format!("`{command}` needs to know which {things}"))
            .hint(format!("name ids (`{command} {example}`), a filter (`{command} {filter}`), or `{command} --all`"))
            .hint(format!("`{list}` shows what there is"))),
        _ => Err(Failure::usage("name ids, a filter or `--all`, not two of them")),
    }
}

/// A delivery that must be in the failed list.
///
/// # Errors
/// When it does not exist, or is not in the list.
pub fn in_failed_list(
    journal: Option<&dyn Journal>,
    id: i64,
) -> Result<crate::delivery::Delivery, Failure> {
    let found = journal
        .map(|journal| journal.delivery(id))
        .transpose()?
        .flatten();
    match found {
        None => Err(Failure::no_delivery(id)),
        Some(delivery) if delivery.status.in_failed_list() => Ok(delivery),
        Some(_) if is_scheduled(journal, id)? => Err(Failure::new(
            Kind::NotFound,
            format!("#{id} is scheduled for another attempt; it is not in the failed list"),
        )
        .hint(format!(
            "`hookfire journal show {id}` shows when; `hookfire retry --due` makes it then"
        ))
        .hint(format!(
            "`hookfire journal cancel {id}` moves it to the failed list"
        ))),
        Some(delivery) => {
            let state = match delivery.status {
                Status::Pending => "is being sent right now",
                Status::Ignored => "was ignored, as the switchboard said",
                _ => "was delivered",
            };
            Err(Failure::new(
                Kind::NotFound,
                format!("#{id} {state}; it is not in the failed list"),
            )
            .hint(format!("`hookfire journal show {id}` shows it")))
        }
    }
}

fn is_scheduled(journal: Option<&dyn Journal>, id: i64) -> Result<bool, Failure> {
    Ok(journal.map_or(Ok(false), |journal| journal.is_scheduled(id))?)
}

/// Whether a bulk may go on: `--yes`, or a yes on a terminal.
///
/// # Errors
/// When neither can be had.
pub fn confirmed(ctx: &Context<'_>, yes: bool, deed: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !ctx.ui.can_ask() {
        return Err(Failure::usage(format!(
            "`--yes` is needed to {deed} where nobody can be asked; nothing was changed"
        ))
        .hint("look first with `--dry-run`"));
    }
    Ok(ctx.ui.ask(&format!("{deed}?")))
}

/// Hints at words of a filter that name nothing known, after an empty result.
pub fn hint_at_unknown(ctx: &Context<'_>, filter: &Filter) {
    hint_at_unknown_event(ctx, filter.event_type.as_deref(), filter.action.as_deref());
    let (Some(name), Ok(config)) = (&filter.endpoint, ctx.config()) else {
        return;
    };
    if let Err(failure) = settings::endpoint(name, config) {
        ctx.ui.hint(&failure.error.to_string());
        failure.hints.iter().for_each(|hint| ctx.ui.hint(hint));
    }
}

/// Hints at a type or action that is near a documented one.
pub fn hint_at_unknown_event(ctx: &Context<'_>, event_type: Option<&str>, action: Option<&str>) {
    let actions = catalogue::EVENTS.iter().map(|(_, action)| *action);
    hint_at_unknown_word(ctx, event_type, catalogue::TYPES, "a type");
    hint_at_unknown_word(ctx, action, &actions.collect::<Vec<_>>(), "an action");
}

fn hint_at_unknown_word(ctx: &Context<'_>, word: Option<&str>, known: &[&str], what: &str) {
    let Some(word) = word.filter(|word| !known.contains(word)) else {
        return;
    };
    if let Some(near) = text::nearest(word, known.iter().copied()) {
        ctx.ui.hint(&format!(
            "`{word}` is not {what} that 3scale documents; did you mean `{near}`?"
        ));
    }
}
