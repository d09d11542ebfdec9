//! Prints the state of a node on stdout, for `top --once` and `replay`.
//!
//! Input: [`Data`] and how to show it. Output: a table, or forms for programs.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::Failure;
use crate::{
    snapshot::Snapshot,
    top::{
        app::{App, News},
        batch::{self, Form},
        column::Column,
        filter::Filter,
        input,
        rows::{By, Data, sort::Sort},
        theme::Theme,
        view,
    },
};

/// Rows of a table by default.
const ROWS: usize = 30;
/// Columns and rows of a picture.
const PICTURE: (u16, u16) = (132, 30);

/// Options of the output.
#[derive(Clone, Debug, Default, Args)]
pub struct ShowArgs {
    /// What each row shows [default: container].
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Sort rows by this field: the title of a column, or its JSON name. Each field has a default direction.
    #[arg(long, value_name = "FIELD")]
    pub sort: Option<String>,
    /// Reverse the order.
    #[arg(short, long)]
    pub reverse: bool,
    /// Show only matching rows: text, /regex/, field=value, field>512m, !term; all terms must match.
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Only these fields, in this order; named as for --sort.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Maximum number of rows [default: 30 in tables, all in other formats].
    #[arg(long = "top", value_name = "N")]
    pub most: Option<usize>,
}

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Table with the columns that fit.
    #[default]
    Table,
    /// Table with all columns.
    Wide,
    /// JSON: the whole snapshot; the rows only with --by, --sort, --filter, --fields or --top.
    Json,
    /// One JSON object per row.
    Ndjson,
    /// Comma-separated raw values.
    Csv,
    /// Picture of the live view.
    Svg,
}

impl ShowArgs {
    /// What each row shows.
    pub fn by(&self) -> By {
        self.by.unwrap_or(By::Container)
    }

    /// Whether the whole snapshot is printed as it is.
    fn is_whole(&self) -> bool {
        let Self { by, output, sort, reverse, filter, fields, most } = self;
        *output == Format::Json
            && by.is_none()
            && sort.is_none()
            && !reverse
            && filter.is_none()
            && fields.is_empty()
            && most.is_none()
    }

    /// The order.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn order(&self) -> Result<Sort, Failure> {
        let sort = match &self.sort {
            None => Sort::of(self.by()),
            Some(field) => Sort::by(self.by(), field).map_err(|error| self.usage("--sort", error))?,
        };
        Ok(Sort { is_descending: sort.is_descending != self.reverse, ..sort })
    }

    /// The filter.
    ///
    /// # Errors
    /// The syntax error.
    pub fn rows_shown(&self) -> Result<Filter, Failure> {
        let text = self.filter.as_deref().unwrap_or_default();
        Filter::parse(text, self.by()).map_err(|why| self.usage("--filter", why))
    }

    /// The columns that are asked for; none for the usual ones.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn columns(&self) -> Result<Vec<&'static Column>, Failure> {
        let column = |name: &String| self.by().column(name).map_err(|error| self.usage("--fields", error));
        self.fields.iter().map(column).collect()
    }

    fn options(&self, form: Form, is_first: bool) -> Result<batch::Options, Failure> {
        let fields = self.columns()?;
        let usual = if matches!(form, Form::Table | Form::Wide) { ROWS } else { usize::MAX };
        Ok(batch::Options {
            form,
            by: self.by(),
            sort: self.order()?,
            filter: self.rows_shown()?,
            fields: (!fields.is_empty()).then_some(fields),
            most: self.most.unwrap_or(usual),
            width: width(),
            is_first,
        })
    }

    fn usage(&self, option: &str, why: impl Display) -> Failure {
        Failure::Usage(anyhow!("{option}, of {}: {why}", self.by().title()))
    }
}

/// Prints it. `is_first` is false for a repeated print.
///
/// # Errors
/// When the arguments are wrong, or the output cannot be written.
pub fn show(data: &Data, args: &ShowArgs, is_first: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if args.is_whole() {
        return json(&data.snapshot, out);
    }
    let form = match args.output {
        Format::Table => Form::Table,
        Format::Wide => Form::Wide,
        Format::Json => Form::Json,
        Format::Ndjson => Form::Ndjson,
        Format::Csv => Form::Csv,
        Format::Svg => return picture(&[data], args, "", out),
    };
    if !is_first && matches!(form, Form::Table | Form::Wide) {
        writeln!(out)?;
    }
    write!(out, "{}", batch::print(data, &args.options(form, is_first)?))?;
    out.flush()?;
    Ok(())
}

/// Prints the live view as it would be after these updates and keys.
///
/// # Errors
/// When the arguments are wrong, or the output cannot be written.
pub fn picture(known: &[&Data], args: &ShowArgs, keys: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let host = rustix::system::uname();
    let mut app = App::of(&host.nodename().to_string_lossy());
    app.start_with(args.by(), args.order()?, args.rows_shown()?, args.filter.as_deref().unwrap_or_default());
    for news in known.iter().flat_map(|data| News::of(data)) {
        app.take(news);
    }
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        let action = input::action(KeyEvent::new(code, KeyModifiers::NONE), app.focus(), false);
        // A picture carries out no requests.
        let _ = action.and_then(|action| app.act(action));
    }
    let (columns, rows) = PICTURE;
    write!(out, "{}", view::svg::picture(&mut app, Theme::FULL, columns, rows))?;
    Ok(())
}

/// Data of a snapshot only.
pub fn snapshot_alone(snapshot: impl Into<Arc<Snapshot>>) -> Data {
    Data {
        snapshot: snapshot.into(),
        insights: Arc::default(),
        events_per_second: None,
        scan_share: None,
        kills: None,
        probes: None,
        named: None,
    }
}

/// Prints a snapshot as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn json(snapshot: &Snapshot, out: &mut dyn Write) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(snapshot).context("failed to write JSON")?;
    writeln!(out, "{json}")?;
    out.flush()?;
    Ok(())
}

/// Columns of the terminal; 100 without a terminal.
fn width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col)).max(100)
}
