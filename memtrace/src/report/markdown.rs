//! A document as Markdown, for a ticket or a chat.
//!
//! [`Document`] -> GitHub's Markdown. Untrusted text is escaped, so that it can neither format nor mention users.

use super::{
    block,
    document::{Block, Cell, Document, Item, Row, Table},
};
use crate::{
    oom::record::OomRecord,
    text::{Align, printable},
};

/// Writes the report of one kill.
pub fn markdown(record: &OomRecord, again: Option<&str>) -> String {
    lay_out(&block::document(record, again))
}

/// Lays out a document.
pub(super) fn lay_out(document: &Document) -> String {
    let Document { lead, blocks, closing } = document;
    let mut out = String::new();
    for (index, paragraph) in lead.iter().enumerate() {
        let text = escape(paragraph);
        out.push_str(&if index == 0 { format!("# {text}\n") } else { format!("\n{text}\n") });
    }
    for Block { heading, items, .. } in blocks {
        out.push_str(&format!("\n## {}\n", escape(heading)));
        for group in items.chunk_by(|a, b| std::mem::discriminant(a) == std::mem::discriminant(b)) {
            out.push('\n');
            for item in group {
                put(&mut out, item);
            }
        }
    }
    out.push_str(&format!("\n{}\n", escape(closing)));
    out
}

fn put(out: &mut String, item: &Item) {
    match item {
        Item::Field { name, value, paint: _ } => {
            out.push_str(&format!("- **{}**: {}\n", escape(name), escape(value)));
        }
        Item::Lines { name, lines } => {
            let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
            let fence = fence(&lines);
            out.push_str(&format!("{}:\n\n{fence}\n{}\n{fence}\n\n", escape(name), lines.join("\n")));
        }
        Item::Table(table) => put_table(out, table),
        Item::Note(text) => out.push_str(&format!("{}\n\n", escape(text))),
    }
}

fn put_table(out: &mut String, table: &Table) {
    let mut line = |cells: Vec<String>| out.push_str(&format!("| {} |\n", cells.join(" | ")));
    line(table.columns.iter().map(|column| column.title.to_owned()).collect());
    let rule = |align| match align {
        Align::Left => ":--".to_owned(),
        Align::Right => "--:".to_owned(),
    };
    line(table.columns.iter().map(|column| rule(column.align)).collect());
    for Row { mark, cells, .. } in &table.rows {
        let text = |cell: &Cell| match cell {
            Cell::Text(text) => escape(text),
            Cell::Grade(grade) => grade.to_string(),
            Cell::Bar(_) => String::new(),
        };
        let mut cells: Vec<String> = cells.iter().map(text).collect();
        if let (Some(mark), Some(first)) = (mark, cells.first_mut()) {
            *first = format!("**{first}** ({mark})");
        }
        line(cells);
    }
    out.push('\n');
}

/// A code fence longer than any run of backticks in the lines.
fn fence(lines: &[String]) -> String {
    let run = |line: &String| line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(lines.iter().map(run).max().unwrap_or(0).max(2) + 1)
}

/// Escapes every character with a meaning in Markdown.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escape, fence};

    #[test]
    fn what_comes_from_outside_stays_text() {
        assert_eq!(escape("a_b*c|d @me <b> #1"), "a\\_b\\*c\\|d &#64;me &lt;b&gt; &#35;1");
        assert_eq!(fence(&["a".to_owned(), "x ```` y".to_owned()]), "`````");
    }
}
