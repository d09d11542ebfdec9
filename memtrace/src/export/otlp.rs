//! Kills as OpenTelemetry log records, by OTLP.
//!
//! [`OomRecord`]s -> a request of the log service; its response -> how many were rejected. Pure. Command lines and
//! environments are in no record, and so not in these.

mod counts;
mod messages;

use prost::Message as _;

pub use self::counts::{Counts, Sent};
use self::messages::{
    AnyValue, ExportLogsServiceRequest, ExportLogsServiceResponse, InstrumentationScope, KeyValue, LogRecord,
    Resource, ResourceLogs, ScopeLogs, Value,
};
use super::kills::COLUMNS;
use crate::{container::name::Name, oom::record::OomRecord, report::sentence};

/// The path of the log service below an endpoint.
pub const PATH: &str = "v1/logs";

/// The form of a request and its response.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// The name of the event.
const EVENT: &str = "memtrace.oom_kill";
/// `SEVERITY_NUMBER_ERROR`
const ERROR: i32 = 17;

/// Columns that the record has elsewhere: in its time, its body and its resource.
const ELSEWHERE: [&str; 10] =
    ["schema", "time", "id", "sentence", "namespace", "pod", "pod_uid", "container", "container_id", "image"];

/// A request with a log record for each kill. `node` are attributes of the node, such as `host.name`.
pub fn request<'a>(kills: impl IntoIterator<Item = &'a OomRecord>, node: &[(String, String)]) -> Vec<u8> {
    let resource_logs = kills.into_iter().map(|kill| logs(kill, node)).collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// What the receiver did not take: how many, and its words. `None` when it took everything.
pub fn rejected(response: &[u8]) -> Option<(u64, String)> {
    let answer = ExportLogsServiceResponse::decode(response).ok()?.partial_success?;
    let rejected = u64::try_from(answer.rejected_log_records).unwrap_or_default();
    (rejected > 0).then_some((rejected, answer.error_message))
}

/// A kill: its container is the resource.
fn logs(kill: &OomRecord, node: &[(String, String)]) -> ResourceLogs {
    let mut attributes: Vec<KeyValue> =
        node.iter().map(|(key, text)| of_text(key, Some(text))).collect::<Option<_>>().unwrap_or_default();
    attributes.extend(kill.circumstances.container.as_ref().map(container).unwrap_or_default());
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let scope_logs = ScopeLogs { scope: Some(scope), log_records: vec![record(kill)] };
    ResourceLogs { resource: Some(Resource { attributes }), scope_logs: vec![scope_logs] }
}

/// By the semantic conventions for Kubernetes and containers.
fn container(name: &Name) -> Vec<KeyValue> {
    let pairs = [
        ("k8s.namespace.name", &name.namespace),
        ("k8s.pod.name", &name.pod),
        ("k8s.pod.uid", &name.pod_uid),
        ("container.id", &name.container_id),
        ("container.image.name", &name.image),
        ("container.runtime", &name.runtime),
    ];
    let of_pod = if name.pod.is_some() { "k8s.container.name" } else { "container.name" };
    let pairs = pairs.into_iter().chain([(of_pod, &name.container)]);
    pairs.filter_map(|(key, text)| of_text(key, text.as_ref())).collect()
}

fn record(kill: &OomRecord) -> LogRecord {
    let time = u64::try_from(kill.time.as_nanosecond()).unwrap_or_default();
    let own = [("log.record.uid", serde_json::Value::from(kill.id.as_str()))];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let columns = COLUMNS.iter().filter(|column| !ELSEWHERE.contains(&column.name));
    let columns = columns.map(|column| (format!("memtrace.{}", column.name), (column.get)(kill)));
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: ERROR,
        severity_text: "ERROR".to_owned(),
        body: Some(AnyValue { value: Some(Value::String(sentence(kill))) }),
        attributes: own.chain(columns).filter_map(|(key, value)| of_value(key, &value)).collect(),
        event_name: EVENT.to_owned(),
    }
}

fn of_text(key: &str, text: Option<&String>) -> Option<KeyValue> {
    let value = Some(AnyValue { value: Some(Value::String(text?.clone())) });
    Some(KeyValue { key: key.to_owned(), value })
}

/// What is unknown has no attribute.
fn of_value(key: String, value: &serde_json::Value) -> Option<KeyValue> {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => return None,
        Json::Bool(is) => Value::Bool(*is),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Double(number.as_f64()?),
        },
        Json::Array(_) | Json::Object(_) => Value::String(value.to_string()),
    };
    Some(KeyValue { key, value: Some(AnyValue { value: Some(value) }) })
}

/// The ids of the kills of a request.
#[cfg(test)]
pub(crate) fn ids(request: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(request).unwrap();
    let records =
        request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs).flat_map(|of| of.log_records);
    let attributes = records.flat_map(|record| record.attributes);
    let ids =
        attributes.filter(|pair| pair.key == "log.record.uid").map(|pair| pair.value.unwrap().value.unwrap());
    ids.map(|value| if let Value::String(id) = value { id } else { panic!("{value:?}") }).collect()
}

/// A response that rejects so many.
#[cfg(test)]
pub(crate) fn rejecting(count: i64) -> Vec<u8> {
    let error_message = "too old".to_owned();
    let partial = messages::ExportLogsPartialSuccess { rejected_log_records: count, error_message };
    ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::fixture;

    fn sent(kill: &OomRecord) -> ResourceLogs {
        let node = [("host.name".to_owned(), "node-7".to_owned())];
        let request = ExportLogsServiceRequest::decode(request([kill], &node).as_slice()).unwrap();
        assert_eq!(request.resource_logs.len(), 1);
        request.resource_logs.into_iter().next().unwrap()
    }

    fn map(attributes: &[KeyValue]) -> BTreeMap<&str, &Value> {
        let map: BTreeMap<&str, &Value> = attributes
            .iter()
            .map(|pair| (pair.key.as_str(), pair.value.as_ref().unwrap().value.as_ref().unwrap()))
            .collect();
        assert_eq!(map.len(), attributes.len(), "each key once");
        map
    }

    #[test]
    fn a_kill_is_a_record_of_its_container() {
        let kill = fixture::full::record();
        let logs = sent(&kill);
        let resource = map(&logs.resource.as_ref().unwrap().attributes);
        let text = |key: &str| match resource[key] {
            Value::String(text) => text.as_str(),
            other => panic!("{key}: {other:?}"),
        };
        let name = kill.circumstances.container.as_ref().unwrap();
        assert_eq!(text("host.name"), "node-7");
        assert_eq!(Some(text("k8s.pod.name")), name.pod.as_deref());
        assert_eq!(Some(text("k8s.container.name")), name.container.as_deref());
        let record = &logs.scope_logs[0].log_records[0];
        assert_eq!(i128::from(record.time_unix_nano), kill.time.as_nanosecond());
        assert_eq!((record.severity_number, record.event_name.as_str()), (17, "memtrace.oom_kill"));
        assert_eq!(record.body.as_ref().unwrap().value, Some(Value::String(sentence(&kill))));
        let attributes = map(&record.attributes);
        assert_eq!(attributes["log.record.uid"], &Value::String(kill.id.clone()));
        assert_eq!(attributes["memtrace.cause"], &Value::String("leak".to_owned()));
        assert_eq!(attributes["memtrace.limit_bytes"], &Value::Int(64 << 20));
        assert_eq!(attributes["memtrace.lives_on"], &Value::Bool(false));
        for column in ELSEWHERE {
            assert!(COLUMNS.iter().any(|of| of.name == column), "{column} is a column");
            assert!(
                !attributes.contains_key(format!("memtrace.{column}").as_str()),
                "{column} is told twice"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_not_sent() {
        let logs = sent(&fixture::thread_victim());
        let attributes = map(&logs.scope_logs[0].log_records[0].attributes);
        for column in ["limit_bytes", "victim_rss_bytes", "cause", "workload", "lives_on"] {
            assert!(!attributes.contains_key(format!("memtrace.{column}").as_str()), "{column}");
        }
        assert_eq!(attributes["memtrace.victim_comm"], &Value::String("bio_lazy_free".to_owned()));
    }

    #[test]
    fn a_receiver_tells_what_it_rejected() {
        assert_eq!(rejected(&rejecting(3)), Some((3, "too old".to_owned())));
        assert_eq!(rejected(&rejecting(0)), None, "only a warning");
        assert_eq!(rejected(&rejecting(-1)), None);
        assert_eq!(rejected(b""), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read(bytes: Vec<u8>) {
            let _ = rejected(&bytes);
        }
    }
}
