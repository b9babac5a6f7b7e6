//! `--dry-run`, and keys of requests that may be sent again.

use serde_json::{Value, json};

use crate::commands::{ID, OTHER};
use crate::fake::Fake;

fn plan(kind: &str) -> Value {
    json!({ "dry_run": {
        "status": 204,
        "changes": [
            { "type": kind, "id": ID, "change": "updated",
              "attributes": { "name": { "before": "a", "after": "b" }, "vip_address": { "after": null } } },
            { "type": "member", "id": "new-member-1", "change": "created",
              "attributes": { "weight": { "after": 3 }, "tags": { "after": [] } } },
        ],
        "cuts_connections": true,
        "refuses_connections": true,
        "traffic": [{ "effect": "cut", "type": "amphora", "id": OTHER, "text": "It ends." }],
        "steps": [{ "kind": "spec_push", "amphora_id": OTHER, "text": "It is told." },
                  { "kind": "settle", "amphora_id": null, "text": "Done." }],
    } })
}

async fn service() -> Fake {
    Fake::start(|_, seen| match seen.line.split(' ').next() {
        Some("GET") => {
            let kind = if seen.line.contains("amphorae") { "amphora" } else { "loadbalancer" };
            (200, json!({ kind: { "id": ID, "name": "web", "provisioning_status": "ACTIVE", "tags": [] } }))
        }
        _ => (200, plan("loadbalancer")),
    })
    .await
}

#[tokio::test]
async fn writes_are_rehearsed_and_their_plans_printed() {
    let expected = format!(
        "updated loadbalancer {ID}\n    name: a -> b\n    vip_address: ?\ncreated member new-member-1\n    \
         weight: 3\ncut amphora {OTHER}: It ends.\nopen connections would be cut\nthen spec_push {OTHER}: It is \
         told.\nthen settle: Done.\n"
    );
    for (words, writes) in [
        (format!("lb set {ID} --name b --dry-run --wait"), 1),
        (format!("lb delete {ID} --dry-run --cascade --wait"), 1),
        (format!("lb failover {ID} --dry-run --wait"), 1),
        (format!("lb delete {ID} {OTHER} --dry-run"), 2),
        (format!("lb create --dry-run --vip-subnet-id {OTHER} --wait"), 1),
        ("quota set p --pool 3 --dry-run".to_owned(), 1),
        (format!("amphorae failover {ID} --dry-run"), 1),
    ] {
        let fake = service().await;
        let (code, out, err) = fake.octavia(&words).await;
        assert_eq!((code, err.as_str()), (0, ""), "{words}: {err}");
        assert_eq!(out, vec![expected.as_str(); writes].join("\n"), "{words}");
        let lines = fake.lines();
        let sent: Vec<_> = lines.iter().filter(|line| !line.starts_with("GET")).collect();
        assert_eq!(sent.len(), writes, "{words}: {lines:?}");
        assert!(sent.iter().all(|line| line.contains("dry_run=true")), "{lines:?}");
        let (code, out, _) = fake.octavia(&format!("{words} --json")).await;
        let printed: Value = serde_json::from_str(&out).unwrap();
        let one = plan("loadbalancer")["dry_run"].take();
        assert_eq!(code, 0);
        assert_eq!(printed, if writes == 1 { one } else { json!([one, one]) }, "{words}");
    }
}

#[tokio::test]
async fn a_service_without_dry_runs_is_told_of() {
    let fake = Fake::start(|_, seen| match seen.line.starts_with("GET") {
        true => (200, json!({ "loadbalancer": { "id": ID, "name": "web", "tags": [] } })),
        false => (200, json!({ "loadbalancer": { "id": ID } })),
    })
    .await;
    let (code, out, err) = fake.octavia(&format!("lb set {ID} --name b --dry-run")).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("does not know dry runs"), "{err}");
}

#[tokio::test]
async fn a_create_that_is_sent_again_has_the_same_key() {
    let fake = Fake::start(|before, seen| match seen.line.starts_with("POST") && before < 2 {
        true => (503, json!({ "faultstring": "busy" })),
        false => (201, json!({ "loadbalancer": { "id": ID, "name": "web" } })),
    })
    .await;
    for _ in 0..2 {
        let (code, _, err) = fake.octavia(&format!("lb create --vip-subnet-id {OTHER}")).await;
        assert_eq!(code, 0, "{err}");
    }
    let keys: Vec<_> = fake.seen().into_iter().filter_map(|seen| seen.key).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
}
