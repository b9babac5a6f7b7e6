//! Lists: filters, tags, fields, sorting, pages and their links.

use serde_json::{Value, json};

use crate::world::{MEMBER, World};

async fn five() -> World {
    let world = World::new().await;
    for (name, up, tags) in [
        ("c", true, json!(["red", "big"])),
        ("a", false, json!(["red"])),
        ("e", true, json!(["blue"])),
        ("b", true, json!([])),
        ("d", false, json!(["red", "blue"])),
    ] {
        world.load_balancer(MEMBER, json!({ "name": name, "admin_state_up": up, "tags": tags })).await;
    }
    world
}

fn names(list: &Value) -> String {
    let names = list["loadbalancers"].as_array().expect("a list").iter();
    names.map(|lb| lb["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>().join("")
}

/// As with the original, where they have none instead of an empty one: whoever asks for "" would take the first for his.
#[tokio::test]
async fn what_has_no_name_is_not_found_by_none() {
    let world = five().await;
    world.load_balancer(MEMBER, json!({})).await;
    for (query, expected) in [("?name=", 0), ("?name=&admin_state_up=True", 0), ("?description=", 6), ("", 6)]
    {
        let list = world.get(&format!("loadbalancers{query}")).await;
        assert_eq!(list["loadbalancers"].as_array().map(Vec::len), Some(expected), "{query}");
    }
}

#[tokio::test]
async fn queries() {
    let world = five().await;
    for (query, expected) in [
        ("", "caebd"),
        ("?name=b", "b"),
        ("?name=zz", ""),
        ("?admin_state_up=True", "ceb"),
        ("?admin_state_up=0", "ad"),
        ("?admin_state_up=perhaps", "ad"),
        ("?admin_state_up=no&name=d", "d"),
        ("?provisioning_status=PENDING_CREATE&sort=name", "abcde"),
        ("?vip_address=10.0.0.12", "e"),
        ("?tags=red", "cad"),
        ("?tags=red,blue", "d"),
        ("?tags=red&tags=blue", "d"),
        ("?tags-any=big,blue", "ced"),
        ("?not-tags=red,blue", "caeb"),
        ("?not-tags-any=red,blue", "b"),
        ("?tags=red&not-tags-any=blue", "ca"),
        ("?sort=name", "abcde"),
        ("?sort=name:desc", "edcba"),
        ("?sort=admin_state_up:asc,name:desc", "daecb"),
        ("?sort_key=name&sort_dir=desc", "edcba"),
        ("?sort=created_at:desc", "dbeac"),
        ("?limit=2", "ca"),
        ("?limit=2&sort=name:desc", "ed"),
        ("?limit=-1", "caebd"),
        ("?limit=infinite", "caebd"),
    ] {
        assert_eq!(names(&world.get(&format!("loadbalancers{query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_are_followed_by_their_links() {
    let world = five().await;
    let mut url = "/v2.0/lbaas/loadbalancers?limit=2&sort=name:desc".to_owned();
    let mut seen = vec![];
    for _ in 0..4 {
        let page = world.get(&url).await;
        seen.push(names(&page));
        let links = page["loadbalancers_links"].as_array().expect("a list");
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else { break };
        let href = next["href"].as_str().expect("a URL");
        let path = href.strip_prefix("http://api.test:9876").expect("the host it was asked under");
        assert!(path.starts_with("/v2.0/lbaas/loadbalancers?limit=2&sort=name:desc&marker="), "{path}");
        url = path.to_owned();
    }
    assert_eq!(seen, ["ed", "cb", "a"]);
}

#[tokio::test]
async fn links() {
    let world = five().await;
    let rels = |page: &Value| {
        let links = page["loadbalancers_links"].as_array().expect("a list").iter();
        links.map(|link| link["rel"].as_str().expect("a rel").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rels(&world.get("loadbalancers").await), "");
    assert_eq!(rels(&world.get("loadbalancers?limit=5").await), "next", "may point to an empty page");
    assert_eq!(rels(&world.get("loadbalancers?name=zz&limit=1").await), "");
    let first = world.get("loadbalancers?sort=name&limit=1").await;
    let marker = first["loadbalancers"][0]["id"].as_str().expect("an id");
    let page = world.get(&format!("loadbalancers?sort=name&limit=2&marker={marker}")).await;
    assert_eq!(names(&page), "bc");
    assert_eq!(rels(&page), "previous next");
    let previous = page["loadbalancers_links"][0]["href"].as_str().expect("a URL");
    assert!(previous.ends_with("&page_reverse=True"), "{previous}");
    let back = world.get(previous.strip_prefix("http://api.test:9876").expect("our host")).await;
    assert_eq!(names(&back), "a");
}

#[tokio::test]
async fn fields() {
    let world = five().await;
    let list = world.get("loadbalancers?fields=name&fields=admin_state_up&limit=1&name=c").await;
    assert_eq!(list["loadbalancers"], json!([{ "name": "c", "admin_state_up": true }]));
    assert!(list.get("loadbalancers_links").is_some());
    let list = world.get("loadbalancers?fields=name,id&limit=1").await;
    assert_eq!(list["loadbalancers"], json!([{}]), "a comma makes no list");
    let lb = world.get("loadbalancers?name=c").await["loadbalancers"][0]["id"].clone();
    let lb = lb.as_str().expect("an id");
    let one = world.get(&format!("loadbalancers/{lb}?fields=name&unheard=of")).await;
    assert_eq!(one, json!({ "loadbalancer": { "name": "c" } }));
}

#[tokio::test]
async fn every_resource_lists_what_it_has() {
    let world = World::new().await;
    let tree = json!({
        "listeners": [{ "name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tags": ["t"],
            "members": [{ "name": "m", "address": "192.0.2.1", "protocol_port": 80 }],
            "healthmonitor": { "name": "h", "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
        } }],
    });
    let lb = world.load_balancer(MEMBER, tree).await;
    let graph = world.store.lb_fetch(lb).await.expect("asked").expect("there");
    let pool = graph.pools[0].id;
    for (path, key) in [
        (
            format!("listeners?loadbalancer_id={lb}&protocol_port=80&protocol=HTTP&default_pool_id={pool}"),
            "listeners",
        ),
        (format!("listeners?load_balancer_id={lb}"), "listeners"),
        (format!("pools?loadbalancer_id={lb}&lb_algorithm=ROUND_ROBIN&tls_enabled=false&tags=t"), "pools"),
        (format!("pools?healthmonitor_id={}", graph.health_monitors[0].id), "pools"),
        (format!("pools/{pool}/members?address=192.0.2.1&backup=no&weight=1&protocol_port=80"), "members"),
        (
            format!("healthmonitors?pool_id={pool}&type=TCP&max_retries=2&max_retries_down=3&delay=5"),
            "healthmonitors",
        ),
        (
            format!("loadbalancers?vip_port_id={}&provider=amphora", graph.load_balancer.vip.port_id),
            "loadbalancers",
        ),
    ] {
        let list = world.get(&path).await;
        assert_eq!(list[key].as_array().map(Vec::len), Some(1), "{path}: {list}");
        assert_eq!(list[format!("{key}_links")], json!([]), "{path}");
        let listed = &list[key][0];
        // A list shows what a GET of one shows.
        let one = match key {
            "members" => format!("pools/{pool}/members/{}", listed["id"].as_str().expect("an id")),
            _ => format!("{key}/{}", listed["id"].as_str().expect("an id")),
        };
        assert_eq!(&world.get(&one).await[key.trim_end_matches('s')], listed, "{path}");
    }
    let others = world.get(&format!("pools/{pool}/members?project_id=other")).await;
    assert_eq!(others["members"], json!([]), "below a pool, the project is a filter");
}

#[tokio::test]
async fn an_operator_can_switch_parts_of_lists_off() {
    use octavia_api::ApiOptions;
    let base = ApiOptions::default();
    for (options, query, expected_names, links) in [
        (ApiOptions { allow_filtering: false, ..base.clone() }, "?name=a&color=red", "ab", json!([])),
        (ApiOptions { allow_sorting: false, ..base.clone() }, "?sort=color:x", "ab", json!([])),
        (ApiOptions { allow_pagination: false, ..base.clone() }, "?limit=x&sort=name", "ab", json!(null)),
        (ApiOptions { allow_field_selection: false, ..base.clone() }, "?fields=id", "ab", json!([])),
        (ApiOptions { pagination_max_limit: None, ..base.clone() }, "?limit=infinite", "ab", json!([])),
    ] {
        let world = World::with(options).await;
        world.load_balancer(MEMBER, json!({ "name": "a" })).await;
        world.load_balancer(MEMBER, json!({ "name": "b" })).await;
        let list = world.get(&format!("loadbalancers{query}")).await;
        assert_eq!(names(&list), expected_names, "{query}");
        assert_eq!(list["loadbalancers_links"], links, "{query}");
    }
    let capped = ApiOptions {
        pagination_max_limit: Some(1),
        api_base_uri: Some("https://lb.example.com/".to_owned()),
        ..base
    };
    let world = World::with(capped).await;
    world.load_balancer(MEMBER, json!({ "name": "a" })).await;
    world.load_balancer(MEMBER, json!({ "name": "b" })).await;
    let list = world.get("loadbalancers?limit=50").await;
    assert_eq!(names(&list), "a");
    let href = list["loadbalancers_links"][0]["href"].as_str().expect("a URL");
    assert!(href.starts_with("https://lb.example.com/v2/lbaas/loadbalancers?limit=1&marker="), "{href}");
}
