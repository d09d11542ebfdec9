//! The live view of `memtrace top`: what the terminal can show, and where figures come from.

use std::{env, io::ErrorKind, os::unix::net::UnixStream, path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;

use super::{TopArgs, own_tracer::Own};
use crate::{
    api::client::ClientError,
    cli::Failure,
    model::Model,
    report::Terminal,
    top::{
        app::App,
        feed::{Config, Local, Reason},
        filter::Filter,
        live,
        rows::sort::Sort,
        theme::Theme,
    },
};

pub(super) fn run(args: &TopArgs, sort: Sort, filter: Filter) -> Result<(), Failure> {
    let host = rustix::system::uname();
    let mut app = App::of(&host.nodename().to_string_lossy());
    app.start_with(args.show.by(), sort, filter, args.show.filter.as_deref().unwrap_or_default());
    let socket = args.socket.path().to_owned();
    // Dropped at the end, and with it the daemon.
    let at = args.at.map(|at| at.at(Timestamp::now()));
    let own = match (has_daemon(&socket), args.no_probes) {
        (false, _) if at.is_some() => {
            return Err(Failure::NoDaemon(anyhow!(
                "--at needs the history of a daemon, and no daemon answers at {}",
                socket.display()
            )));
        }
        (true, _) => None,
        (false, _) if args.socket.socket.is_some() => {
            return args.socket.do_without(ClientError::NoDaemon(socket.display().to_string()));
        }
        (false, true) => Some(Err("--no-probes".to_owned())),
        (false, false) => Some(Own::start()),
    };
    let nobody = format!("no daemon answers at {}", socket.display());
    let (socket, reason): (_, Reason) = match &own {
        None => (socket, Box::new(move || nobody.clone())),
        Some(Ok(own)) => {
            let ended = own.ended();
            let reason = move || match ended() {
                None => format!("{nobody}; attaching probes"),
                Some(why) => format!("{nobody}; failed to attach probes: {why}"),
            };
            (own.socket(), Box::new(reason))
        }
        Some(Err(why)) => {
            let why = format!("{nobody}; probes are disabled: {why}");
            (socket, Box::new(move || why.clone()))
        }
    };
    let is_own = matches!(own, Some(Ok(_)));
    let every = Duration::from_secs_f64(args.delay);
    let config = Config { socket, is_own, every, at, local: local(), reason };
    Ok(live::run(app, theme(args), config)?)
}

/// Whether there is a daemon, maybe one that this user may not ask.
fn has_daemon(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

/// Readings of /proc, for as long as there is no daemon.
fn local() -> Local {
    let mut model = None;
    Box::new(move || {
        let model = model.get_or_insert_with(|| Model::of_host(Path::new("/proc")));
        model.seed().context("failed to list the processes")?;
        model.touch_all();
        Ok(model.snapshot(None))
    })
}

fn theme(args: &TopArgs) -> Theme {
    let terminal = Terminal::from_env(true);
    Theme {
        has_color: args.color.is_on(terminal),
        has_unicode: !args.ascii && !terminal.is_dumb && is_utf8(),
    }
}

/// Whether the locale says that text is UTF-8: the first of these that is set counts.
fn is_utf8() -> bool {
    let set = |name: &&str| env::var(name).ok().filter(|locale| !locale.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
