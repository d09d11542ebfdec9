//! `memtrace top`: who uses memory, how much, and who grows.

use std::{io::Write, path::Path, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{Failure, SocketArgs};
use crate::{
    api::{
        client::{self, ClientError},
        server::path::SNAPSHOT,
    },
    daemon::model::Model,
    snapshot::Snapshot,
    top::table::{self, Options, table},
};

/// Arguments of `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the daemon. Without one it reads /proc itself, twice, and says so; growth is then over one second.
RSS is what is resident in a process's page tables, shared pages included: it is not the heap. GROWTH/s is over
the last ten seconds. LIMIT is the lowest limit from the process's cgroup up to the root.

Examples:
  memtrace top --once
  memtrace top --once -n 5
  memtrace top --once --by arena          whose memory it is: allocator, use, resident, growth
  memtrace top --once --by container
  memtrace top --once -o json | jq '.processes[] | select(.growth_bytes_per_second > 1048576) | .comm'")]
pub struct TopArgs {
    /// Print once and end. The live view is still to come, so this is required.
    #[arg(long, required = true)]
    pub once: bool,
    /// What a row of the table is.
    #[arg(long, value_enum, default_value_t = By::Process)]
    pub by: By,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Rows of the table at most.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub rows: usize,
    /// Where the daemon listens.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// What a row of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A cgroup, with what the kernel charges it.
    Container,
    /// A process.
    Process,
    /// An allocator's use in a process: whose memory it is.
    Arena,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: everything, in bytes.
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the daemon does not answer properly, or /proc cannot be read.
pub fn run(args: &TopArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = match client::get::<Snapshot>(&args.socket.socket, SNAPSHOT) {
        Ok(snapshot) => snapshot,
        Err(ClientError::NoDaemon(_)) => from_proc()?,
        Err(error @ ClientError::NotPermitted(_)) => return Err(Failure::NotPermitted(error.into())),
        Err(ClientError::Failed(error)) => return Err(Failure::Failed(error)),
    };
    match args.output {
        Format::Table => {
            let by = match args.by {
                By::Container => table::By::Container,
                By::Process => table::By::Process,
                By::Arena => table::By::Arena,
            };
            write!(out, "{}", table(&snapshot, Options { by, width: width(), rows: args.rows }))?;
        }
        Format::Json => {
            let json = serde_json::to_string_pretty(&snapshot).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
    }
    Ok(())
}

/// Two readings of /proc, a second apart.
fn from_proc() -> anyhow::Result<Snapshot> {
    let mut model = Model::of_host(Path::new("/proc"));
    model.seed().context("failed to list the processes")?;
    std::thread::sleep(Duration::from_secs(1));
    model.touch_all();
    Ok(model.snapshot(None))
}

/// Columns of the terminal; a hundred where there is none.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col)).max(100)
}
