//! What is around the contents of each page: head, navigation, policy.
//!
//! A title and contents -> a document. Nothing is loaded from elsewhere, and no script or style is in the document.

use axum::{
    http::{
        HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    response::Response,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) const STYLE_PATH: &str = "/page.css";
pub(super) const SCRIPT_PATH: &str = "/page.js";

/// Only this daemon's style sheet, script and stream; no frame may show a page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the fields that every response has.
pub(super) async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Where a page is relative to the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The node's page.
    Node,
    /// One directory below.
    Below,
}

/// The document. Links are relative: a proxy may put the pages below a path.
pub(super) fn document(title: &str, place: Place, contents: &Markup) -> String {
    let up = match place {
        Place::Node => "./",
        Place::Below => "../",
    };
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (title) " - memtrace" }
                link rel="stylesheet" href={ (up) "page.css" };
                @if place == Place::Node {
                    noscript { meta http-equiv="refresh" content="10"; }
                    script src="page.js" defer {}
                }
            }
            body {
                a.skip href="#main" { "Skip to the contents" }
                nav aria-label="Pages" { a href=(up) { "memtrace" } @if place == Place::Below { " / " (title) } }
                main id="main" { (contents) }
            }
        }
    };
    document.into_string()
}

/// Text that was rendered before.
pub(super) fn rendered(html: &[u8]) -> Markup {
    PreEscaped(String::from_utf8_lossy(html).into_owned())
}

/// The page of a failed request.
pub(super) fn failed(what: &str, why: &str) -> String {
    let contents = html! { header { h1 { (what) } p.lead { (why) } } };
    document(what, Place::Below, &contents)
}
