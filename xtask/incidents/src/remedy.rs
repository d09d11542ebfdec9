//! Remedies: what is changed for the second run, and whether that helped.
//!
//! The advice, and how the second run ended -> proved or not. Pure.

use serde::Serialize;

use super::{
    answer::Answer,
    recipe::{How, Remedy},
};

/// Of what was promised, this part must be there.
const PROMISED: f64 = 0.9;
/// The larger limit of a test whether a higher limit only delays the kill.
const LARGER_PERCENT: u64 = 150;

/// Tells the program which function to call after its load.
const CALL: &str = "INCIDENT_CALL";

/// What the second run has that the first had not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) limit_bytes: Option<u64>,
    /// In place of `{setting}`.
    pub(crate) argument: Option<String>,
    pub(crate) environment: Option<(String, String)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// The kernel killed a process of its cgroup.
    Killed,
    /// It said that it is ready.
    Ready,
    /// It ended by itself, in this way.
    Ended(String),
    /// Nothing of all that in time.
    Late,
}

/// Whether the advice helped.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Remedied {
    Proved,
    /// Why not.
    Failed(String),
    /// Why it was not tried: that is neither.
    NotTried(String),
}

/// What the advice changes; or why nothing can be tried.
pub(crate) fn change(remedy: &Remedy, answer: &Answer, limit_bytes: u64) -> Result<Change, Remedied> {
    let failed = |why: &str| Err(Remedied::Failed(why.to_owned()));
    let Remedy { how, call, .. } = remedy;
    match how {
        How::None => Err(Remedied::NotTried("the recipe has none".to_owned())),
        How::Delays => {
            Ok(Change { limit_bytes: Some(limit_bytes / 100 * LARGER_PERCENT), ..Change::default() })
        }
        How::Limit => {
            let advised = answer.settings.iter().find_map(|setting| setting.parse::<u64>().ok());
            advised.map_or_else(
                || failed("no limit is advised"),
                |bytes| Ok(Change { limit_bytes: Some(bytes), ..Change::default() }),
            )
        }
        How::Calls => match answer.advice.first() {
            Some(first) if first.contains(call) => {
                Ok(Change { environment: Some((CALL.to_owned(), call.clone())), ..Change::default() })
            }
            _ => failed("the first advice is something else"),
        },
        How::Setting | How::Frees => {
            let advised = answer.settings.iter().find(|setting| setting.parse::<u64>().is_err());
            advised.map_or_else(|| failed("no setting is advised"), |setting| Ok(apply(setting)))
        }
    }
}

/// `NAME=VALUE` is a variable, anything else words of the command line.
fn apply(setting: &str) -> Change {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
    };
    match setting.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, value)) => {
            Change { environment: Some((name.to_owned(), value.to_owned())), ..Change::default() }
        }
        None => Change { argument: Some(setting.to_owned()), ..Change::default() },
    }
}

/// The second run. `usage`: bytes of the cgroup at the end of the first and the second.
pub(crate) fn judge(how: How, answer: &Answer, end: &End, usage: (Option<u64>, Option<u64>)) -> Remedied {
    let failed = |why: String| Remedied::Failed(why);
    match (how, end) {
        (How::Delays, End::Killed) => Remedied::Proved,
        (How::Delays, End::Ready) => failed("with one and a half times the limit it lives".to_owned()),
        (How::Frees | How::Calls, End::Ready) => freed(answer, usage),
        (_, End::Ready) => Remedied::Proved,
        (_, End::Killed) => failed("with the advice it is killed again".to_owned()),
        (_, End::Ended(how)) => failed(format!("with the advice it ends by itself: {how}")),
        (_, End::Late) => failed("with the advice it does not get ready in time".to_owned()),
    }
}

fn freed(answer: &Answer, usage: (Option<u64>, Option<u64>)) -> Remedied {
    let (Some(promised), (Some(before), Some(after))) = (answer.figures.get("free").copied(), usage) else {
        return Remedied::Failed("it is not told how much is free, or what is used is not known".to_owned());
    };
    #[expect(clippy::cast_precision_loss, reason = "compared to a tenth")]
    let saved = before as f64 - after as f64;
    if saved >= PROMISED * promised {
        return Remedied::Proved;
    }
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    Remedied::Failed(format!(
        "of {:.1} MiB that are free, it gives back {:.1} MiB",
        mib(promised),
        mib(saved)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advising(settings: &[&str]) -> Answer {
        Answer {
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            figures: [("free".to_owned(), 100.0)].into(),
            ..Answer::default()
        }
    }

    fn by(how: How) -> Remedy {
        Remedy { how, why: None, setting: String::new(), call: "malloc_trim(0)".to_owned() }
    }

    #[test]
    fn advice_to_call_a_function_must_be_the_first() {
        let advising = |advice: &[&str]| Answer {
            advice: advice.iter().map(|&text| text.to_owned()).collect(),
            ..advising(&["MALLOC_ARENA_MAX=2"])
        };
        let first =
            change(&by(How::Calls), &advising(&["call malloc_trim(0) after a peak", "two"]), 1).unwrap();
        assert_eq!(first.environment, Some((CALL.to_owned(), "malloc_trim(0)".to_owned())));
        let second = change(&by(How::Calls), &advising(&["two", "call malloc_trim(0)"]), 1);
        assert!(matches!(second, Err(Remedied::Failed(_))));
        let freed = judge(How::Calls, &advising(&[]), &End::Ready, (Some(500), Some(480)));
        assert!(matches!(freed, Remedied::Failed(_)));
    }

    #[test]
    fn a_limit_and_a_setting_are_told_apart() {
        let answer = advising(&["-Xmx160m", "671088640"]);
        assert_eq!(change(&by(How::Limit), &answer, 1).unwrap().limit_bytes, Some(671_088_640));
        assert_eq!(change(&by(How::Setting), &answer, 1).unwrap().argument.as_deref(), Some("-Xmx160m"));
        let variable = change(&by(How::Frees), &advising(&["MALLOC_CONF=a:b,c:1"]), 1).unwrap();
        assert_eq!(variable.environment, Some(("MALLOC_CONF".to_owned(), "a:b,c:1".to_owned())));
        let argument = change(&by(How::Setting), &advising(&["--max-old-space-size=80"]), 1).unwrap();
        assert_eq!(argument.argument.as_deref(), Some("--max-old-space-size=80"));
    }

    #[test]
    fn advice_that_is_missing_has_failed_and_what_has_none_is_not_tried() {
        assert!(matches!(change(&by(How::Limit), &advising(&["-Xmx1g"]), 1), Err(Remedied::Failed(_))));
        assert!(matches!(change(&by(How::Setting), &advising(&["12"]), 1), Err(Remedied::Failed(_))));
        assert!(matches!(change(&by(How::None), &advising(&[]), 1), Err(Remedied::NotTried(_))));
    }

    #[test]
    fn what_was_said_to_delay_a_kill_must_not_prevent_it() {
        assert_eq!(change(&by(How::Delays), &advising(&[]), 200).unwrap().limit_bytes, Some(300));
        let of = |end| judge(How::Delays, &advising(&[]), &end, (None, None));
        assert_eq!(of(End::Killed), Remedied::Proved);
        assert!(matches!(of(End::Ready), Remedied::Failed(_)));
    }

    #[test]
    fn the_same_load_must_live() {
        let of = |end| judge(How::Limit, &advising(&[]), &end, (None, None));
        assert_eq!(of(End::Ready), Remedied::Proved);
        let ended = End::Ended("exit 1".to_owned());
        assert!(
            [End::Killed, End::Late, ended].into_iter().all(|end| matches!(of(end), Remedied::Failed(_)))
        );
    }

    #[test]
    fn what_was_promised_must_be_given_back() {
        let of = |after| judge(How::Frees, &advising(&[]), &End::Ready, (Some(500), after));
        assert_eq!(of(Some(405)), Remedied::Proved);
        assert!(matches!(of(Some(480)), Remedied::Failed(_)));
        assert!(matches!(of(None), Remedied::Failed(_)));
    }
}
