//! Builds all workloads into workloads/target/out.
//!
//! Sources and the machine's compilers -> programs, or the names of the packages that are missing; with `--missing`
//! those names alone, one a line. Must not install anything.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

mod recipe;

use recipe::{PRELOADS, RECIPES, Recipe, Step};

fn main() -> ExitCode {
    let mut missing = Vec::new();
    if env::args().nth(1).as_deref() == Some("--missing") {
        for package in packages() {
            println!("{package}");
        }
        return ExitCode::SUCCESS;
    }
    match build(&mut missing) {
        Ok(count) => println!("workloads: {count} in {}", out().display()),
        Err(error) => {
            eprintln!("failed to build the workloads: {error}");
            return ExitCode::FAILURE;
        }
    }
    for (name, tool, package) in &missing {
        eprintln!("not built: {name} needs {tool}: apt-get install {package}");
    }
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The packages that are missing, each once.
fn packages() -> BTreeSet<&'static str> {
    let tools = RECIPES.iter().flat_map(|recipe| recipe.tools).filter(|(tool, _)| find(tool).is_none());
    let libraries = PRELOADS.iter().filter(|(library, _)| find_library(library).is_none());
    tools.chain(libraries).map(|(_, package)| *package).collect()
}

/// The folder of this workspace.
fn home() -> PathBuf {
    let build = Path::new(env!("CARGO_MANIFEST_DIR"));
    build.parent().unwrap_or(build).to_owned()
}

fn out() -> PathBuf {
    home().join("target/out")
}

type Missing = (&'static str, &'static str, &'static str);

fn build(missing: &mut Vec<Missing>) -> Result<usize, String> {
    fs::create_dir_all(out()).map_err(|error| format!("{}: {error}", out().display()))?;
    let mut built = 0;
    for recipe in RECIPES {
        let lacking = recipe.tools.iter().find(|(tool, _)| find(tool).is_none());
        if let Some((tool, package)) = lacking {
            missing.push((recipe.name, tool, package));
            continue;
        }
        make(recipe)?;
        built += 1;
    }
    for (library, package) in PRELOADS {
        match find_library(library) {
            Some(path) => link(&path, &out().join(library)).map_err(|error| format!("{library}: {error}"))?,
            None => missing.push(("cpp with tcmalloc", library, package)),
        }
    }
    Ok(built)
}

fn make(recipe: &Recipe) -> Result<(), String> {
    let output = out().join(recipe.output);
    match recipe.step {
        Step::Run(words) => {
            if is_newer(&output, &home().join(recipe.source)) {
                return Ok(());
            }
            run(words, recipe)
        }
        Step::Cargo(words) => {
            let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let mut command = Command::new(cargo);
            let manifest = home().join("Cargo.toml");
            command
                .args(["build", "--quiet", "--release", "--package", "programs", "--manifest-path"])
                .arg(manifest);
            command.arg("--target-dir").arg(home().join("target")).args(words);
            finish(&mut command)?;
            place(&home().join("target/release").join(recipe.source), &output)
        }
        Step::Copy => place(&home().join(recipe.source), &output),
    }
}

/// Runs a compiler; SOURCE and OUTPUT in its words stand for the paths.
fn run(words: &[&str], recipe: &Recipe) -> Result<(), String> {
    let (source, output) = (home().join(recipe.source), out().join(recipe.output));
    let mut words = words.iter();
    let mut command = Command::new(words.next().ok_or("no command")?);
    for word in words {
        match *word {
            "SOURCE" => command.arg(&source),
            "OUTPUT" => command.arg(&output),
            "FOLDER" => command.arg(output.parent().unwrap_or(&output)),
            word => command.arg(word),
        };
    }
    if let Some(folder) = source.parent() {
        command.current_dir(folder);
    }
    // For Go: a cache of its own, no network, no other toolchain.
    command.env("GOCACHE", home().join("target/go-cache")).env("GOFLAGS", "-mod=mod").env("GOPROXY", "off");
    finish(&mut command)
}

fn finish(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn place(from: &Path, to: &Path) -> Result<(), String> {
    if is_newer(to, from) {
        return Ok(());
    }
    // Removed first: a program that still runs cannot be written over.
    fs::remove_file(to).ok();
    fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

fn is_newer(output: &Path, source: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    matches!((time(output), time(source)), (Ok(output), Ok(source)) if output >= source)
}

fn find(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(tool)).find(|path| path.is_file())
}

/// Where Debian and others keep shared libraries.
fn find_library(name: &str) -> Option<PathBuf> {
    let arch = env::consts::ARCH;
    [format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib64".to_owned(), "/usr/lib".to_owned()]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

fn link(target: &Path, link: &Path) -> io::Result<()> {
    fs::remove_file(link).ok();
    std::os::unix::fs::symlink(target, link)
}
