//! The status tree of a load balancer, as a tree.

use serde_json::Value;

use crate::Object;
use crate::table::{printable, width};

struct Line {
    prefix: String,
    label: String,
    provisioning: String,
    operating: String,
    /// Why a status is bad; empty if none is.
    reason: String,
}

/// Renders `statuses` of `GET /loadbalancers/{id}/status`.
pub(crate) fn status_tree(statuses: &Value) -> String {
    let mut lines = vec![];
    let root = &statuses["loadbalancer"];
    lines.push(line("", "load balancer", root, None));
    let listeners = list(root, "listeners");
    for (i, listener) in listeners.iter().enumerate() {
        let (branch, below) = branch("", i + 1 == listeners.len());
        lines.push(line(&branch, "listener", listener, None));
        let pools = list(listener, "pools");
        for (j, pool) in pools.iter().enumerate() {
            pool_lines(&mut lines, &below, pool, j + 1 == pools.len());
        }
    }
    let widest = lines.iter().map(|l| width(&l.prefix) + width(&l.label)).max().unwrap_or(0);
    let provisioning = lines.iter().map(|l| width(&l.provisioning)).max().unwrap_or(0);
    let operating = lines.iter().map(|l| width(&l.operating)).max().unwrap_or(0);
    let mut out = String::new();
    for l in lines {
        let text = format!("{}{}", l.prefix, l.label);
        let pad = " ".repeat(widest - width(&text));
        let line = format!(
            "{text}{pad}  {:provisioning$}  {:operating$}  {}",
            l.provisioning, l.operating, l.reason
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn pool_lines(lines: &mut Vec<Line>, above: &str, pool: &Value, last: bool) {
    let (pool_branch, below) = branch(above, last);
    lines.push(line(&pool_branch, "pool", pool, None));
    let members = list(pool, "members");
    let monitor = &pool["health_monitor"];
    if monitor.is_object() {
        let (monitor_branch, _) = branch(&below, members.is_empty());
        lines.push(line(
            &monitor_branch,
            "health monitor",
            monitor,
            monitor["type"].as_str().map(str::to_owned),
        ));
    }
    for (i, member) in members.iter().enumerate() {
        let (member_branch, _) = branch(&below, i + 1 == members.len());
        let address = member["address"].as_str().unwrap_or_default();
        let port = member["protocol_port"].as_u64().unwrap_or_default();
        let place =
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        lines.push(line(&member_branch, "member", member, Some(place)));
    }
}

fn branch(above: &str, last: bool) -> (String, String) {
    if last {
        (format!("{above}└─ "), format!("{above}   "))
    } else {
        (format!("{above}├─ "), format!("{above}│  "))
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn line(prefix: &str, noun: &str, value: &Value, detail: Option<String>) -> Line {
    let text = |key: &str| printable(value[key].as_str().unwrap_or_default());
    let name = if text("name").is_empty() && detail.is_none() { text("id") } else { text("name") };
    let label: Vec<String> = [noun.to_owned(), name, detail.unwrap_or_default()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let reason = Object(value.as_object().cloned().unwrap_or_default()).reason();
    Line {
        prefix: prefix.to_owned(),
        label: label.join(" "),
        provisioning: text("provisioning_status"),
        operating: text("operating_status"),
        reason: printable(&reason.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_tree() {
        let status =
            |operating: &str| json!({ "provisioning_status": "ACTIVE", "operating_status": operating });
        let node = |operating: &str, more: Value| {
            let mut node = status(operating);
            node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            node
        };
        let pool = node(
            "DEGRADED",
            json!({ "name": "p", "health_monitor": node("ONLINE", json!({ "name": "", "type": "HTTP" })), "members": [
                node("ONLINE", json!({ "name": "a", "address": "127.0.0.1", "protocol_port": 8081 })),
                node("ERROR", json!({ "name": "", "address": "::1", "protocol_port": 8082 })),
            ] }),
        );
        let tree = node(
            "DEGRADED",
            json!({ "name": "web", "listeners": [
                node("ONLINE", json!({ "name": "http", "pools": [pool] })),
                node("OFFLINE", json!({ "name": "", "id": "4f1c", "pools": [], "status_reason": "PORT_IN_USE: taken" })),
            ] }),
        );
        insta::assert_snapshot!(status_tree(&json!({ "loadbalancer": tree })), @r"
        load balancer web                 ACTIVE  DEGRADED
        ├─ listener http                  ACTIVE  ONLINE
        │  └─ pool p                      ACTIVE  DEGRADED
        │     ├─ health monitor HTTP      ACTIVE  ONLINE
        │     ├─ member a 127.0.0.1:8081  ACTIVE  ONLINE
        │     └─ member [::1]:8082        ACTIVE  ERROR
        └─ listener 4f1c                  ACTIVE  OFFLINE   PORT_IN_USE: taken
        ");
        insta::assert_snapshot!(status_tree(&json!("nonsense")), @"load balancer");
    }
}
