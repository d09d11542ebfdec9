//! What a recipe needs before it can be run: programs of this machine, and its own.
//!
//! A recipe -> its built programs, or why it cannot be run here. Must not install anything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use xtask_base::{packages, process};

use super::{
    draw::{self, Values},
    recipe::Recipe,
};

/// A need that is a small Debian of packages, in the cache that guests use too.
const TREE: &str = "debian-tree";

/// Reads all recipes, sorted by name.
pub(crate) fn recipes(dir: &Path) -> Result<Vec<Recipe>> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let is_recipe = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_recipe).collect();
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        Recipe::parse(&name, &text)
    };
    files.into_iter().map(read).collect()
}

/// The first thing that this machine lacks for it.
pub(crate) fn lacks(recipe: &Recipe) -> Option<String> {
    let is_missing = |need: &&String| match need.as_str() {
        TREE => packages::cannot_have().is_some(),
        need if need.starts_with('/') => !Path::new(need).exists(),
        need => process::find(need).is_none(),
    };
    recipe.needs.iter().find(is_missing).map(|need| format!("needs {need}"))
}

/// The small Debian, if one of the recipes needs it.
pub(crate) fn tree<'a>(mut recipes: impl Iterator<Item = &'a Recipe>) -> Result<Option<PathBuf>> {
    let is_needed = recipes.any(|recipe| recipe.needs.iter().any(|need| need == TREE));
    is_needed.then(packages::small_root).transpose()
}

/// Makes its programs.
pub(crate) fn build(recipe: &Recipe, places: &Values) -> Result<()> {
    let out = Path::new(places.get("out").map_or("", String::as_str));
    fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    for words in &recipe.build {
        let words = draw::command(words, places, "");
        let Some((program, arguments)) = words.split_first() else { continue };
        process::capture(Command::new(program).args(arguments))
            .with_context(|| format!("failed to build the program of {}", recipe.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::recipe::tests::LEAK, *};

    #[test]
    fn the_recipes_of_this_workspace_can_be_read() {
        let dir = xtask_base::workspace::Workspace::find().unwrap().root().join("incidents");
        let recipes = recipes(&dir).unwrap();
        assert!(recipes.len() >= 15, "{}", recipes.len());
        for recipe in &recipes {
            let placed = ["out", "here", "scratch", "tree"].map(|name| (name.to_owned(), String::new()));
            let values: Values = draw::values(recipe, 1).into_iter().chain(placed).collect();
            let all = [&recipe.run].into_iter().chain(recipe.beside.as_ref().map(|beside| &beside.run));
            for words in all.chain(&recipe.build) {
                let words = draw::command(words, &values, "");
                let is_open = |word: &&String| word.starts_with('{') && word.ends_with('}');
                assert_eq!(words.iter().find(is_open), None, "{}: a name without a value", recipe.name);
            }
        }
    }

    #[test]
    fn the_example_of_the_document_is_a_recipe() {
        let root = xtask_base::workspace::Workspace::find().unwrap().root().to_owned();
        let document = fs::read_to_string(root.join("docs/incidents.md")).unwrap();
        let example = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        Recipe::parse("leak-perl", example).unwrap();
        assert_eq!(fs::read_to_string(root.join("incidents/leak-perl.toml")).unwrap(), example);
    }

    #[test]
    fn what_is_missing_is_named() {
        let needing = |what: &str| Recipe::parse("x", &LEAK.replace("g++", what)).unwrap();
        assert_eq!(lacks(&needing("/nowhere/lib.so")).as_deref(), Some("needs /nowhere/lib.so"));
        assert_eq!(lacks(&needing("no-such-program-here")).as_deref(), Some("needs no-such-program-here"));
        assert_eq!(lacks(&needing("sh")), None);
    }
}
