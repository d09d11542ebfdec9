//! Options of `memtrace daemon` for an OpenTelemetry collector.
//!
//! Command line -> the configuration of the sender. Must not connect.

use std::path::PathBuf;

use clap::Args;

use crate::daemon::threads::otlp::Config;

/// Where kills are sent.
#[derive(Clone, Debug, Default, Args)]
pub struct OtlpArgs {
    /// Send each OOM kill as a log record to the OTLP/HTTP collector at this URL, such as http://127.0.0.1:4318.
    #[arg(long = "otlp", value_name = "URL", env = "MEMTRACE_OTLP")]
    pub url: Option<String>,
    /// Headers for the collector, such as a token: a file with `Name: value` on each line.
    #[arg(long = "otlp-headers", value_name = "FILE", requires = "url")]
    pub headers: Option<PathBuf>,
    /// CA bundle for the collector's certificate; required for https.
    #[arg(long = "otlp-ca", value_name = "FILE", requires = "url")]
    pub authority: Option<PathBuf>,
    /// Attributes of this node that are sent with each kill, in addition to host.name, such as k8s.node.name=node-7.
    #[arg(
        long = "otlp-attribute",
        value_name = "KEY=VALUE",
        env = "OTEL_RESOURCE_ATTRIBUTES",
        value_delimiter = ',',
        value_parser = attribute
    )]
    pub attributes: Vec<(String, String)>,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl OtlpArgs {
    /// The sender's configuration, if there is a collector.
    pub fn config(&self) -> Option<Config> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let is_named = self.attributes.iter().any(|(key, _)| key == "host.name");
        let host = (!is_named).then(|| ("host.name".to_owned(), host));
        Some(Config {
            url: self.url.clone()?,
            headers: self.headers.clone(),
            authority: self.authority.clone(),
            node: host.into_iter().chain(self.attributes.iter().cloned()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Command};

    fn config(words: &[&str]) -> Option<super::Config> {
        let cli = Cli::try_parse_from([&["memtrace", "daemon"], words].concat()).unwrap();
        let Command::Daemon(args) = cli.command else { panic!("another command") };
        args.otlp.config()
    }

    #[test]
    fn a_node_has_its_name_and_what_is_said_of_it() {
        assert_eq!(config(&[]), None, "nothing is sent by default");
        let url = ["--otlp", "http://c:4318"];
        let plain = config(&url).unwrap();
        assert_eq!(plain.node.len(), 1);
        assert_eq!(plain.node[0].0, "host.name");
        let named =
            config(&[&url[..], &["--otlp-attribute", "k8s.node.name=n7,host.name=h"]].concat()).unwrap();
        let pairs: Vec<_> = named.node.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("k8s.node.name", "n7"), ("host.name", "h")]);
        for words in [&["--otlp-ca", "/x"][..], &["--otlp", "http://c", "--otlp-attribute", "x"]] {
            let words = [&["memtrace", "daemon"], words].concat();
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2);
        }
    }
}
