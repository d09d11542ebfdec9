//! Refuses requests that another web site makes with the browser of somebody who may ask.
//!
//! The head of a request -> it goes on, or 403. A browser reaches the daemon through a tunnel, and every site that is
//! open in it can send requests to that tunnel. Two of its tricks are refused here; who may connect at all is decided
//! elsewhere.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header::HOST},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

const OTHER_HOST: &str =
    "refused: open this page by an address, by localhost, or by the name of the machine\n";
const OTHER_SITE: &str = "refused: another site asked\n";

/// Refuses requests of other sites.
pub async fn check(request: Request, next: Next) -> Response {
    match refusal(request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(HOST.as_str()).is_some_and(|host| !is_own(host)) {
        return Some(OTHER_HOST);
    }
    // A link may lead here; a page may not load anything from here.
    let is_other = text("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    let is_visit = text("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
        && text("sec-fetch-dest").is_none_or(|dest| dest == "document");
    (is_other && !is_visit).then_some(OTHER_SITE)
}

/// Whether a name that the browser asked for can be ours. A site can give its own name our address (DNS rebinding): such
/// names have a dot. An address cannot be given away.
fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_machine = || {
        let machine = rustix::system::uname();
        name.as_bytes().eq_ignore_ascii_case(machine.nodename().to_bytes())
    };
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && !name.contains('.')) || is_machine()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        refusal(&headers).is_some()
    }

    #[test]
    fn a_name_that_a_site_can_own_is_refused() {
        for own in
            ["localhost:9478", "localhost", "127.0.0.1:9478", "[::1]:9478", "10.0.0.7", "memtrace", "x"]
        {
            assert!(!refused(&[("host", own)]), "{own}");
        }
        for other in
            ["evil.example:9478", "127.0.0.1.evil.example", "localhost.", ":9478", "", "a.b:c", "[a.b]:1"]
        {
            assert!(refused(&[("host", other)]), "{other}");
        }
        assert!(!refused(&[]), "HTTP/1.0 has no such field");
    }

    #[test]
    fn a_link_may_lead_here_and_nothing_may_be_loaded_from_here() {
        let asks = |site: &str, mode: &str, dest: &str| {
            refused(&[("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)])
        };
        assert!(!asks("none", "navigate", "document") && !asks("same-origin", "cors", "empty"));
        assert!(!asks("cross-site", "navigate", "document"));
        assert!(asks("cross-site", "no-cors", "image") && asks("same-site", "cors", "empty"));
        assert!(asks("cross-site", "navigate", "iframe"));
    }
}
