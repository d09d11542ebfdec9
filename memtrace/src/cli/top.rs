//! `memtrace top`: who uses memory, how much, and who grows.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ColorChoice, ValueEnum};

use super::{Failure, SocketArgs};
use crate::{
    api::{
        client::{self, ClientError},
        v1::path::SNAPSHOT,
    },
    daemon::model::Model,
    report::Terminal,
    snapshot::Snapshot,
    top::{
        app::App,
        feed::{Config, Local},
        live,
        table::{self, Options, table},
        theme::Theme,
    },
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
    /// Print once and end; so it does where the output is no terminal.
    #[arg(long)]
    pub once: bool,
    /// Seconds between two updates of the live view.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub delay: f64,
    /// Colours in the live view; auto: unless NO_COLOR is set or the terminal is dumb.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// Draw with ASCII alone; so it does where the locale is not UTF-8.
    #[arg(long)]
    pub ascii: bool,
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
    if !args.once && io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(live(args)?);
    }
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

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds between 0.1 and 3600".to_owned())
}

fn live(args: &TopArgs) -> anyhow::Result<()> {
    let terminal = Terminal::from_env(true);
    let has_color = match args.color {
        ColorChoice::Auto => terminal.wants_color(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    };
    let theme = Theme { has_color, has_unicode: !args.ascii && !terminal.is_dumb && is_utf8() };
    let mut model = None;
    let local: Local = Box::new(move || {
        let model = model.get_or_insert_with(|| Model::of_host(Path::new("/proc")));
        model.seed().context("failed to list the processes")?;
        model.touch_all();
        Ok(model.snapshot(None))
    });
    let config = Config {
        socket: args.socket.socket.clone(),
        is_own: false,
        every: Duration::from_secs_f64(args.delay),
        local,
    };
    let host = rustix::system::uname();
    live::run(App::of(&host.nodename().to_string_lossy()), theme, config)
}

/// Whether the locale says that text is UTF-8: the first of these that is set counts.
fn is_utf8() -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|l| !l.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
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
    rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col)).max(100)
}
