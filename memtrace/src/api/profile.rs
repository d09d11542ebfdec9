//! The route of profiles: `/debug/pprof/memory?target=NAME`, with `over` and `format`.
//!
//! A query -> a profile of the target's first touches, as pprof or speedscope. Waits for readers in the lane of requests
//! that do.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;

use super::{
    state::{ApiState, Source},
    v1::STACKS,
};
use crate::{
    explain::{NotFound, find},
    export::{
        pprof::pprof,
        profile::{Profile, Span},
        speedscope::speedscope,
    },
    reader::Remote,
};

const USAGE: &str = "\
use /debug/pprof/memory?target=NAME, where NAME is a pid, container, pod, unit or cgroup; over=10s, 1m or 10m (the \
default); format=pprof (the default) or speedscope\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Pprof,
    Speedscope,
}

#[derive(Debug, PartialEq, Eq)]
struct Query {
    target: String,
    span: Span,
    form: Form,
}

impl Query {
    /// The query of a URL. Other parameters, such as the `seconds` that scrapers of profiles send, have no effect.
    fn of(query: &str) -> Option<Self> {
        let (mut target, mut span, mut form) = (None, Span::default(), Form::Pprof);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().ok()?;
            match (name, &*value) {
                ("target", value) if !value.is_empty() => target = Some(value.to_owned()),
                ("over", value) => span = Span::of(value)?,
                ("format", "pprof") => form = Form::Pprof,
                ("format", "speedscope") => form = Form::Speedscope,
                ("format", _) => return None,
                _ => {}
            }
        }
        Some(Self { target: target?, span, form })
    }
}

type Failed = (StatusCode, String);

pub(super) async fn memory(
    State(ApiState { source, .. }): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failed> {
    let query = Query::of(&query.unwrap_or_default());
    let Query { target, span, form } = query.ok_or_else(|| (StatusCode::BAD_REQUEST, USAGE.to_owned()))?;
    let snapshot = Arc::clone(&source.snapshots.borrow());
    let Source { lane, readers, .. } = source;
    let made = move || -> Result<Response, Failed> {
        let subject = find(&snapshot, &target).map_err(not_found)?;
        let mut profile = Profile::of(&snapshot, &subject, &target, span);
        profile.complete(&mut Remote::new(readers));
        let (kind, file) = match form {
            Form::Pprof => ("application/octet-stream", pprof(&profile).map_err(internal)?),
            Form::Speedscope => ("application/json", speedscope(&profile).map_err(internal)?),
        };
        Ok(([(CONTENT_TYPE.as_str(), kind), (STACKS, &profile.stacks().to_string())], file).into_response())
    };
    lane.run(made).await.map_err(|(status, why)| (status, why.to_owned()))?
}

fn not_found(error: NotFound) -> Failed {
    let status = match error {
        NotFound::Nothing { .. } => StatusCode::NOT_FOUND,
        NotFound::Several { .. } => StatusCode::CONFLICT,
    };
    (status, format!("{error}\n"))
}

fn internal(error: impl std::fmt::Display) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

#[cfg(test)]
mod tests {
    use super::{Form, Query, Span};

    #[test]
    fn a_query_names_its_target_and_nothing_unknown() {
        let of = |target: &str, span, form| Some(Query { target: target.into(), span, form });
        let default = Span::default();
        assert_eq!(Query::of("target=4711"), of("4711", default, Form::Pprof));
        assert_eq!(
            Query::of("seconds=10&target=shop%2Fcart-0&over=1m&format=speedscope"),
            of("shop/cart-0", Span::Minute1, Form::Speedscope)
        );
        assert_eq!(Query::of("target=%2Fa%20b"), of("/a b", default, Form::Pprof));
        for bad in ["", "target=", "target", "target=1&over=1h", "target=1&format=svg", "target=%ff"] {
            assert_eq!(Query::of(bad), None, "{bad}");
        }
    }
}
