//! `memtrace export pprof`: the call stacks that touched new memory, for the tools that show profiles.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::output::OutputArgs;
use crate::{
    api::{
        client::{self, ClientError},
        v1::path::PROFILE,
    },
    cli::{Failure, args::SocketArgs},
};

/// Arguments of `export pprof`.
#[derive(Debug, Args)]
#[command(after_help = "\
The profile says which functions touched new memory first, over the last ten minutes: not who allocated it, and not what
of it is in use now. Its bytes add up to those of `memtrace top --by stack`. TARGET is a pid, a container name or id, a
pod, a systemd unit or a cgroup path.

Examples:
  memtrace export pprof shop/cart-0 --out cart.pb.gz && go tool pprof -top cart.pb.gz
  memtrace export pprof redis.service --over 1m | go tool pprof -http :8080 /dev/stdin
  memtrace export pprof 4711 -o speedscope --out redis.json     open it in https://www.speedscope.app
  curl -o cart.pb.gz --unix-socket /run/memtrace/memtrace.sock 'localhost/debug/pprof/memory?target=cart'")]
pub struct PprofArgs {
    /// Process, container, pod, unit or cgroup.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Pprof)]
    pub output: Form,
    /// Growth over this time until now.
    #[arg(long, value_name = "TIME", value_enum, default_value_t = Over::Minutes10)]
    pub over: Over,
    /// Where it goes.
    #[command(flatten)]
    pub to: OutputArgs,
    /// The daemon's address.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Format of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// profile.proto with gzip, for pprof, Pyroscope and Parca.
    Pprof,
    /// JSON of speedscope.
    Speedscope,
}

/// The span of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// Ten seconds.
    #[value(name = "10s")]
    Seconds10,
    /// A minute.
    #[value(name = "1m")]
    Minute1,
    /// Ten minutes.
    #[value(name = "10m")]
    Minutes10,
}

/// The word of a value on the command line and in the query.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &PprofArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let PprofArgs { target, output, over, to, socket } = args;
    if *output == Form::Pprof && to.is_stdout() && io::stdout().is_terminal() {
        return Err(Failure::Usage(anyhow!("a profile is no text for a terminal: name a file with --out")));
    }
    let (over, form) = (word(*over), word(*output));
    let named = utf8_percent_encode(target, NON_ALPHANUMERIC);
    let asked = client::file(socket.path(), &format!("{PROFILE}?target={named}&over={over}&format={form}"));
    let (file, stacks) = asked.map_err(|error| match error {
        error @ ClientError::NoDaemon(_) => Failure::NoDaemon(anyhow!(
            "{error}: a running daemon collects the call stacks; start one with `memtrace daemon`, or name its socket \
             with --socket"
        )),
        error => error.into(),
    })?;
    to.fill(out, |out| Ok(out.write_all(&file).context("failed to write the profile")?))?;
    if stacks == Some(0) {
        eprintln!(
            "memtrace: no call stack of {target} touched new memory in the last {over}; the profile is empty"
        );
    }
    Ok(())
}
