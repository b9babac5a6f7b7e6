//! The Neutron API: names are resolved there, and ports are made.

use serde_json::{Value, json};

use crate::kit::{Answer, Cloud};

fn check(case: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{case}: {}", answer.body);
    match status {
        401 => {
            assert_eq!(answer.body["error"]["code"], 401, "{case}");
            assert!(answer.headers.contains_key("www-authenticate"), "{case}");
        }
        400.. => {
            let error = &answer.body["NeutronError"];
            assert!(!error["type"].as_str().unwrap().is_empty(), "{case}");
            assert!(!error["message"].as_str().unwrap().is_empty(), "{case}");
        }
        _ => {}
    }
}

async fn private(cloud: &Cloud, token: &str) -> (String, String) {
    let body = cloud.get(token, "/networking/v2.0/networks?name=private").await.body;
    let network = &body["networks"][0];
    (network["id"].as_str().unwrap().to_owned(), network["subnets"][0].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_there_is_and_who_sees_it() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let (network, subnet) = private(&cloud, &demo).await;
    let project = cloud.get(&demo, "/identity/v3/auth/projects").await.body["projects"][0]["id"].clone();
    let project = project.as_str().unwrap();
    for (path, admin_sees, demo_sees) in [
        ("".to_owned(), 200, 200),
        ("extensions".into(), 200, 200),
        ("extensions/external-net".into(), 200, 200),
        ("extensions/router".into(), 404, 404),
        ("networks".into(), 200, 200),
        ("networks.json".into(), 200, 200),
        (format!("networks/{network}"), 200, 200),
        ("networks/private".into(), 404, 404),
        ("networks?colour=red".into(), 400, 400),
        ("networks?limit=x".into(), 400, 400),
        ("subnets".into(), 200, 200),
        (format!("subnets/{subnet}"), 200, 200),
        (format!("subnets/{network}"), 404, 404),
        ("ports".into(), 200, 200),
        ("ports/nonsense".into(), 404, 404),
        ("network-ip-availabilities".into(), 200, 403),
        ("network-ip-availabilities?ip_version=4".into(), 200, 403),
        (format!("network-ip-availabilities/{network}"), 200, 403),
        ("network-ip-availabilities/nonsense".into(), 404, 403),
        ("quotas".into(), 200, 403),
        (format!("quotas/{project}"), 200, 200),
        (format!("quotas/{project}/details.json"), 200, 200),
        (format!("quotas/{project}/nonsense"), 404, 404),
        ("quotas/another".into(), 200, 403),
        ("security-groups".into(), 200, 200),
        ("security-groups/nonsense".into(), 404, 404),
        ("floatingips".into(), 200, 200),
        ("qos/policies".into(), 200, 200),
        ("qos/policies/nonsense".into(), 404, 404),
        ("nonsense".into(), 404, 404),
        ("networks/a/b/c".into(), 404, 404),
    ] {
        let path = format!("/networking/v2.0/{path}");
        check(&path, &cloud.get(&admin, &path).await, admin_sees);
        check(&path, &cloud.get(&demo, &path).await, demo_sees);
        check(&path, &cloud.get("", &path).await, 401);
        check(&path, &cloud.get("nonsense", &path).await, 401);
    }
    for (path, status) in [("/networking", 200), ("/networking/", 200), ("/networking/v1", 404)] {
        check(path, &cloud.get("", path).await, status);
    }
    let unscoped =
        cloud.login(&crate::kit::login("demo", &cloud.password("demo"), &Value::Null)).await.subject();
    check("no project", &cloud.get(&unscoped, "/networking/v2.0/networks").await, 403);
    for (query, names) in [
        ("", "private public"),
        ("?name=public", "public"),
        ("?router:external=True", "public"),
        ("?router%3Aexternal=False&shared=True", "private"),
        ("?name=none", ""),
        (&format!("?id={network}&fields=name"), "private"),
        ("?sort_key=name&sort_dir=desc", "public private"),
        ("?limit=1", "private"),
        (&format!("?marker={network}"), "public"),
        ("?tags=x", ""),
    ] {
        let list = cloud.get(&demo, &format!("/networking/v2.0/networks{query}")).await.body;
        let found: Vec<_> =
            list["networks"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
        assert_eq!(found.join(" "), names, "{query}");
    }
}

#[tokio::test]
async fn ports_that_may_be_made() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let (network, subnet) = private(&cloud, &demo).await;
    let shown = cloud.get(&demo, &format!("/networking/v2.0/subnets/{subnet}")).await.body["subnet"].clone();
    let pool = &shown["allocation_pools"][0];
    let last = pool["end"].as_str().unwrap();
    let gateway = shown["gateway_ip"].as_str().unwrap();
    let other = "7f9b1c9e-3f0b-4c43-9a0d-0d1a3f5b7c9e";
    let with = |extra: Value| {
        let mut port = json!({"network_id": network});
        port.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"port": port})
    };
    let at = |address: &str| with(json!({"fixed_ips": [{"ip_address": address}]}));
    for (case, body, status) in [
        ("any address", with(json!({})), 201),
        ("an address", at(last), 201),
        ("a taken address", at(last), 409),
        ("the gateway's address", at(gateway), 400),
        ("an address elsewhere", at("192.0.2.1"), 400),
        ("an IPv6 address", at("::1"), 400),
        ("no address", at("localhost"), 400),
        ("a subnet", with(json!({"fixed_ips": [{"subnet_id": subnet}]})), 201),
        ("no such subnet", with(json!({"fixed_ips": [{"subnet_id": other}]})), 400),
        ("no subnet", with(json!({"fixed_ips": [{"subnet_id": "x"}]})), 400),
        ("two addresses", with(json!({"fixed_ips": [{}, {}]})), 400),
        ("addresses that are none", with(json!({"fixed_ips": "all"})), 400),
        ("an address with more", with(json!({"fixed_ips": [{"ip_address": last, "x": 1}]})), 400),
        (
            "what clients send",
            with(
                json!({"name": "p", "admin_state_up": true, "security_groups": [], "binding:vnic_type": "normal"}),
            ),
            201,
        ),
        ("port security", with(json!({"port_security_enabled": true})), 400),
        ("a security group", with(json!({"security_groups": [other]})), 400),
        ("an unknown attribute", with(json!({"colour": "red"})), 400),
        ("a name that is none", with(json!({"name": 7})), 400),
        ("a long name", with(json!({"name": "x".repeat(256)})), 400),
        ("a state that is none", with(json!({"admin_state_up": "yes"})), 400),
        ("for another project", with(json!({"project_id": "another"})), 403),
        ("two projects", with(json!({"project_id": "a", "tenant_id": "b"})), 400),
        ("no such network", json!({"port": {"network_id": other}}), 404),
        ("no network", json!({"port": {}}), 400),
        ("a network that is none", json!({"port": {"network_id": ["x"]}}), 400),
        ("many ports", json!({"ports": [{"network_id": network}]}), 400),
        ("no port", json!({}), 400),
        ("a list", json!([]), 400),
    ] {
        let answer =
            cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", &demo)], &body.to_string()).await;
        check(case, &answer, status);
    }
    for body in ["", "{", "\u{0}", &"[".repeat(50_000)] {
        let answer = cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", &demo)], body).await;
        check("not JSON", &answer, 400);
    }
    let large = json!({"port": {"name": "x".repeat(200_000)}}).to_string();
    check(
        "large",
        &cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", &demo)], &large).await,
        413,
    );
    let made = cloud.get(&demo, "/networking/v2.0/ports").await.body;
    assert_eq!(made["ports"].as_array().unwrap().len(), 4, "refusals leave nothing");
    let for_another = with(json!({"project_id": "another"})).to_string();
    let answer =
        cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", &admin)], &for_another).await;
    check("the administrator, for another project", &answer, 201);
}

#[tokio::test]
async fn ports_are_changed_and_deleted_by_their_owners() {
    let cloud = Cloud::new();
    let (admin, demo) = (cloud.token("admin").await, cloud.token("demo").await);
    let (network, _) = private(&cloud, &demo).await;
    let make = async |token: &str| {
        let body = json!({"port": {"network_id": network}}).to_string();
        let answer = cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", token)], &body).await;
        answer.body["port"].clone()
    };
    let (mine, foreign) = (make(&demo).await, make(&admin).await);
    let path = |port: &Value| format!("/networking/v2.0/ports/{}", port["id"].as_str().unwrap());
    let address = mine["fixed_ips"].clone();
    for (case, method, port, body, status) in [
        ("rename", "PUT", &mine, json!({"port": {"name": "x"}}), 200),
        ("the same address", "PUT", &mine, json!({"port": {"fixed_ips": address}}), 200),
        ("another address", "PUT", &mine, json!({"port": {"fixed_ips": [{"ip_address": "127.0.0.1"}]}}), 400),
        ("another network", "PUT", &mine, json!({"port": {"network_id": network}}), 400),
        ("nothing", "PUT", &mine, json!({}), 400),
        ("foreign", "PUT", &foreign, json!({"port": {"name": "x"}}), 404),
        ("foreign, look", "GET", &foreign, json!({}), 404),
        ("foreign, delete", "DELETE", &foreign, json!({}), 404),
        ("delete", "DELETE", &mine, json!({}), 204),
        ("deleted", "DELETE", &mine, json!({}), 404),
        ("deleted, change", "PUT", &mine, json!({"port": {"name": "x"}}), 404),
        ("patch", "PATCH", &foreign, json!({}), 501),
    ] {
        let answer = cloud.send(method, &path(port), &[("x-auth-token", &demo)], &body.to_string()).await;
        check(case, &answer, status);
    }
    for (method, path) in
        [("POST", "networks"), ("DELETE", "subnets/x"), ("PUT", "nonsense"), ("DELETE", "ports")]
    {
        let path = format!("/networking/v2.0/{path}");
        check(&path, &cloud.send(method, &path, &[("x-auth-token", &demo)], "{}").await, 501);
        check(&path, &cloud.send(method, &path, &[], "{}").await, 401);
    }
}
