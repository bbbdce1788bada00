//! Which rows a command acts on: ids, a filter, or `--all`. Nothing given never means all.

use std::collections::HashSet;

use super::context::Context;
use crate::cli::settings;
use crate::delivery::filter::Filter;
use crate::delivery::{Delivery, Status};
use crate::error::{Failure, Kind};
use crate::event::catalogue;
use crate::journal::{DeliveryVersion, Journal, PAGE_SIZE, Query};
use crate::text;

/// Deliveries of the failed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Each must exist and be in the failed list.
    Ids(Vec<i64>),
    /// All that match. An empty filter matches all.
    Failed(Filter),
}

impl Selection {
    /// `command` is shown in hints.
    pub fn resolve(
        ids: &[i64],
        filter: Filter,
        all: bool,
        command: &str,
    ) -> Result<Selection, Failure> {
        let is_filtered = !filter.is_empty();
        let ids = resolve(ids, is_filtered, all, command, "42", "--type account")?;
        Ok(ids.map_or(Selection::Failed(filter), Selection::Ids))
    }

    /// Whether it may be more than the user thinks of: anything but ids.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Selection::Failed(_))
    }

    /// Refuses an endpoint that neither the configuration nor the journal has.
    pub fn refuse_unknown_endpoint(
        &self,
        ctx: &Context<'_>,
        journal: &dyn Journal,
    ) -> Result<(), Failure> {
        match self {
            Selection::Failed(filter) => {
                refuse_unknown_endpoint(ctx, filter.endpoint.as_deref(), journal)
            }
            Selection::Ids(_) => Ok(()),
        }
    }

    /// Hints at words of the filter that name nothing known.
    pub fn hint_at_unknown(&self, ctx: &Context<'_>) {
        if let Selection::Failed(filter) = self {
            hint_at_unknown(ctx, filter);
        }
    }

    /// After an empty result for an endpoint, hints at how to send the other failed deliveries there: imported
    /// ones belong to no endpoint.
    pub fn hint_at_others(&self, ctx: &Context<'_>, journal: &dyn Journal) -> Result<(), Failure> {
        let Selection::Failed(filter) = self else {
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
            let (belong, them) = match others {
                1 => ("belongs", "it"),
                _ => ("belong", "them"),
            };
            ctx.ui.hint(&format!(
                "{others} in the failed list {belong} to other endpoints or none; `hookfire retry --all --endpoint {name}` sends {them} to `{name}`"
            ));
        }
        Ok(())
    }

    /// The number of deliveries, of which the first `seen` were read, with at most `most` to be read.
    pub fn total(
        &self,
        journal: &dyn Journal,
        seen: usize,
        most: Option<usize>,
    ) -> Result<usize, Failure> {
        match self {
            Selection::Failed(filter) if most == Some(seen) => {
                Ok(journal.count(&Query::failed(filter.clone()))?)
            }
            _ => Ok(seen),
        }
    }

    /// Passes each of `seen` to `visit`, or of a filter all that match now, at most `most`, which are read in pages.
    pub fn each(
        &self,
        journal: &dyn Journal,
        seen: &[DeliveryVersion],
        most: Option<usize>,
        mut visit: impl FnMut(Delivery) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Selection::Failed(filter) => {
                let query = Query {
                    limit: most,
                    ..Query::failed(filter.clone())
                };
                let mut found = journal.deliveries(&query, None, PAGE_SIZE);
                found.try_for_each(|delivery| visit(delivery?))
            }
            Selection::Ids(_) => {
                let found = seen.iter().map(|seen| journal.delivery(seen.id));
                found
                    .flat_map(Result::transpose)
                    .try_for_each(|delivery| visit(delivery?))
            }
        }
    }

    /// The deliveries: ids in the given order, others oldest first and at most `most`.
    pub fn seen(
        &self,
        journal: &dyn Journal,
        most: Option<usize>,
    ) -> Result<Vec<DeliveryVersion>, Failure> {
        match self {
            Selection::Failed(filter) => Ok(journal.delivery_versions(&Query {
                limit: most,
                ..Query::failed(filter.clone())
            })?),
            Selection::Ids(ids) => {
                let named = ids.iter().map(|&id| in_failed_list(journal, id));
                named.map(|found| Ok((&found?).into())).collect()
            }
        }
    }
}

/// The ids, without duplicates, in the given order; none for a filter or `--all`. An error shows `id` and `filter` as
/// examples of what to pass to `command`.
pub fn resolve(
    ids: &[i64],
    is_filtered: bool,
    all: bool,
    command: &str,
    id: &str,
    filter: &str,
) -> Result<Option<Vec<i64>>, Failure> {
    match (ids, is_filtered, all) {
        ([], true, false) | ([], false, true) => Ok(None),
        ([_, ..], false, false) => {
            let mut seen = HashSet::new();
            let ids = ids.iter().copied().filter(|id| seen.insert(*id));
            Ok(Some(ids.collect()))
        }
        ([], false, false) => Err(
            Failure::usage(format!("`{command}` needs a selection")).hint(format!(
                "give ids (`{command} {id}`), a filter (`{command} {filter}`), or `{command} --all`"
            )),
        ),
        _ => Err(Failure::usage(
            "ids, filters and `--all` cannot be used together",
        )),
    }
}

/// The delivery, which must be in the failed list.
pub fn in_failed_list(journal: &dyn Journal, id: i64) -> Result<Delivery, Failure> {
    match journal.delivery(id)? {
        None => Err(Failure::no_delivery(id)),
        Some(delivery) if delivery.status.in_failed_list() => Ok(delivery),
        Some(delivery) if delivery.is_scheduled() => Err(Failure::new(
            Kind::NotFound,
            format!("#{id} is scheduled for another attempt; it is not in the failed list"),
        )
        .hint(format!("`hookfire journal show {id}` shows when"))
        .hint("`hookfire retry --due` sends it then")
        .hint(format!(
            "`hookfire journal cancel {id}` moves it to the failed list"
        ))),
        Some(delivery) => {
            let state = match delivery.status {
                Status::Pending => "is being sent",
                Status::Ignored => "was ignored because of a webhook switch",
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

/// Whether the user agrees, by `--yes` or on a terminal; `action` is a verb phrase such as `delete 3 deliveries`.
pub fn confirmed(ctx: &Context<'_>, yes: bool, action: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !ctx.ui.can_ask() {
        return Err(Failure::usage(format!(
            "refusing to {action} without confirmation (stdin is not a terminal); pass `--yes`"
        ))
        .hint("`--dry-run` shows what would change"));
    }
    Ok(ctx.ui.ask(&format!("{action}?")))
}

/// Fails if the journal does not have the bin.
pub fn require_bin(journal: &dyn Journal, name: &str) -> Result<(), Failure> {
    if journal.bin(name)?.is_some() {
        return Ok(());
    }
    let bins = journal.bins()?;
    let known = bins.iter().map(|bin| bin.name.as_str());
    let hint = match text::nearest(name, known.clone()) {
        Some(near) => format!("did you mean `--bin {near}`?"),
        None if bins.is_empty() => {
            "there are no bins yet; `hookfire listen` creates one".to_owned()
        }
        None => format!("existing bins: {}", text::listed(known)),
    };
    Err(Failure::usage(format!("there is no bin `{name}`")).hint(hint))
}

/// Refuses an endpoint that is not configured, unless the journal has deliveries for it.
pub fn refuse_unknown_endpoint(
    ctx: &Context<'_>,
    name: Option<&str>,
    journal: &dyn Journal,
) -> Result<(), Failure> {
    let Some(name) = name else {
        return Ok(());
    };
    let Err(unknown) = settings::endpoint(name, ctx.config()?) else {
        return Ok(());
    };
    let mut query = Query::all(None);
    query.filter.endpoint = Some(name.to_owned());
    match journal.count_up_to(&query, 1)? {
        0 => Err(unknown),
        _ => Ok(()),
    }
}

/// Hints at words of a filter that name nothing known, after an empty result.
pub fn hint_at_unknown(ctx: &Context<'_>, filter: &Filter) {
    hint_at_unknown_event(ctx, filter.event_type.as_deref(), filter.action.as_deref());
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
