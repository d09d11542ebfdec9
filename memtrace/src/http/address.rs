//! A URL as an address to connect to.
//!
//! Text -> host, port, path, and whether by TLS. Must not connect.

use hyper::Uri;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path and query, beginning with `/`.
    pub path: String,
    /// Whether by TLS.
    pub is_tls: bool,
}

impl Address {
    /// Parses an `http` or `https` URL; the ports are those for a URL without one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str, http: u16, https: u16) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url}: the URL must start with https:// or http://")),
        };
        let host = uri.host().ok_or_else(|| format!("{url}: the URL has no host"))?;
        // An IPv6 address has brackets in a URL, but not in a certificate.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { https } else { http });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, path, is_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn urls_are_addresses_or_an_error_that_says_what_is_wrong() {
        let parse = |url: &str| Address::parse(url, 80, 443);
        let address = |host: &str, port, path: &str, is_tls| {
            Ok(Address { host: host.to_owned(), port, path: path.to_owned(), is_tls })
        };
        assert_eq!(parse("http://a"), address("a", 80, "/", false));
        assert_eq!(parse("https://a.b:1/c/d?e=f"), address("a.b", 1, "/c/d?e=f", true));
        assert_eq!(parse("https://[::1]"), address("::1", 443, "/", true));
        for (url, wrong) in [
            ("a:80", "must start with"),
            ("ftp://a", "must start with"),
            ("/x", "must start with"),
            ("http://", "http://: "),
        ] {
            assert!(parse(url).unwrap_err().contains(wrong), "{url}: {:?}", parse(url));
        }
    }
}
