//! `page`: the pages for browsers in a real Chromium, and their picture in docs/page.md.
//!
//! A daemon that watches the programs of `picture`, node, Chromium -> docs/page.png, or what is wrong with a page. Must not
//! install a program: node's packages go to the directory of tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use xtask_base::{process, requirements, workspace::Workspace};

use crate::picture;

/// What looks at the pages: a driver of Chromium, and rules for pages that everybody can use.
const PACKAGES: [&str; 2] = ["puppeteer-core@24", "axe-core@4"];

/// Open the pages for browsers in Chromium, and fail on anything wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Has the requirements of `cargo xtask demo`, and needs node, npm and chromium. Takes about two minutes after the build.
Pictures of all pages go to target/page.")]
pub(crate) struct Args {
    /// A memtrace to show instead of building one
    #[arg(long, hide = true)]
    bin: Option<PathBuf>,
    /// Seconds of history on the pages
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(process::find);
    let Some(chromium) = chromium else { bail!("failed to find chromium; install it") };
    let packages = packages(&workspace.tools().join("page"))?;
    let script = workspace.root().join("xtask/src/page/look.mjs");
    let pictures = workspace.target().join("page");
    let home = requirements::check()?;
    picture::with_programs(&home, args.bin.as_deref(), args.seconds, |agent| {
        let mut look = Command::new("node");
        look.current_dir(&packages).arg(&script).args([&agent.socket(), &pictures, &chromium]);
        process::run(&mut look)
    })?;
    let shown = workspace.root().join("docs/page.png");
    fs::copy(pictures.join("node-1280.png"), &shown)
        .with_context(|| format!("failed to write {}", shown.display()))?;
    println!("{}", shown.display());
    Ok(())
}

/// The directory with node's packages.
fn packages(home: &Path) -> Result<PathBuf> {
    fs::create_dir_all(home).with_context(|| format!("failed to create {}", home.display()))?;
    if !home.join("node_modules/axe-core/axe.min.js").exists() {
        let mut install = Command::new("npm");
        install.current_dir(home).args(["install", "--no-save", "--ignore-scripts"]).args(PACKAGES);
        process::run(&mut install).context("failed to get what looks at the pages")?;
    }
    Ok(home.to_owned())
}
