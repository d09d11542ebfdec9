//! A running Prometheus, and questions to it.
//!
//! An expression and a time -> one number. Must not judge it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Running;
use xtask_base::process;

const START: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(10);

/// Prometheus, stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) _child: Running,
    pub(crate) log: PathBuf,
}

/// An address that nobody listens at now.
pub(crate) fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.to_string())
}

/// The body of an answer.
pub(crate) fn get(address: &str, path: &str) -> Result<String> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("failed to connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER)).context("failed to set a timeout")?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").context("failed to ask")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("failed to read the answer to {path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("failed to read the answer's head")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("failed to get {path}: {} {body}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

impl Server {
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = get(&self.address, "/-/ready") {
            if start.elapsed() > START {
                let said = process::tail(&fs::read_to_string(&self.log).unwrap_or_default(), 10);
                bail!("failed to start Prometheus: {error:#}; it said:\n{said}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The value of an expression that has one series, now or at a time.
    pub(crate) fn one(&self, expression: &str, at: Option<SystemTime>) -> Result<f64> {
        let mut path = format!("/api/v1/query?query={}", encoded(expression));
        if let Some(at) = at {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).context("failed to read the clock")?;
            path.push_str(&format!("&time={}", since.as_secs_f64()));
        }
        let answer = get(&self.address, &path)?;
        single(&answer).with_context(|| format!("failed to get one value of {expression}: {answer}"))
    }
}

fn single(answer: &str) -> Option<f64> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let [sample] = answer.get("data")?.get("result")?.as_array()?.as_slice() else { return None };
    sample.get("value")?.get(1)?.as_str()?.parse().ok()
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_is_one_value() {
        let answer = |result: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}"#)
        };
        assert_eq!(single(&answer(r#"[{"metric":{},"value":[1.5,"2"]}]"#)), Some(2.0));
        assert_eq!(single(&answer("[]")), None);
        let two = r#"[{"metric":{"a":"b"},"value":[1,"2"]},{"metric":{},"value":[1,"2"]}]"#;
        assert_eq!(single(&answer(two)), None, "two are not joined into one");
    }

    #[test]
    fn an_expression_is_safe_in_a_path() {
        assert_eq!(encoded("a{b=\"c d\"}"), "a%7Bb%3D%22c%20d%22%7D");
    }
}
