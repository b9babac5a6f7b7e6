//! What survives a restart, and what nobody else may read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use octavia_cloud::local::{LocalCloud, OpenError};
use octavia_cloud::{RequestContext, VipRequest, suite};
use octavia_model::{LoadBalancerId, NetworkId, PortId, ProjectId, SubnetId};
use serde_json::json;

use crate::kit::{Cloud, login, open_again, options, project};

async fn ids(cloud: &Cloud) -> (NetworkId, SubnetId) {
    let token = cloud.token("demo").await;
    let networks = cloud.get(&token, "/networking/v2.0/networks?name=private").await.body;
    let network = &networks["networks"][0];
    (
        network["id"].as_str().unwrap().parse().unwrap(),
        network["subnets"][0].as_str().unwrap().parse().unwrap(),
    )
}

fn vip(network_id: NetworkId, subnet_id: SubnetId) -> VipRequest {
    VipRequest {
        load_balancer_id: LoadBalancerId::new_v4(),
        project_id: ProjectId::new("p"),
        network_id,
        subnet_id,
        address: None,
        port_id: None,
        additional: vec![],
    }
}

#[tokio::test]
async fn the_network_passes_the_suite() {
    let cloud = Cloud::new();
    let (network_id, subnet_id) = ids(&cloud).await;
    suite::network_suite(&*cloud.local.network(), network_id, subnet_id).await;
    let (client, _keeper) = cloud.kept();
    suite::network_suite(&*client.network(), network_id, subnet_id).await;
}

#[tokio::test]
async fn the_users_pass_the_suite() {
    let cloud = Cloud::new();
    let answer = cloud.login(&login("demo", &cloud.password("demo"), &project("demo"))).await;
    let token = &answer.body["token"];
    let context = RequestContext {
        user_id: token["user"]["id"].as_str().unwrap().into(),
        user_name: "demo".into(),
        user_domain_id: Some("default".into()),
        project_id: Some(ProjectId::new(token["project"]["id"].as_str().unwrap())),
        project_domain_id: Some("default".into()),
        roles: ["member", "reader", "load-balancer_member"].map(str::to_owned).into(),
        audit_ids: vec![token["audit_ids"][0].as_str().unwrap().into()],
        ..RequestContext::default()
    };
    suite::identity_suite(&*cloud.local.identity(), &answer.subject(), &context).await;
    let (client, _keeper) = cloud.kept();
    suite::identity_suite(&*client.identity(), &answer.subject(), &context).await;
}

#[tokio::test]
async fn everything_is_the_same_after_a_restart() {
    let cloud = Cloud::new();
    let (network_id, subnet_id) = ids(&cloud).await;
    let (kept, revoked) = (cloud.token("demo").await, cloud.token("demo").await);
    let headers = [("x-auth-token", revoked.as_str()), ("x-subject-token", revoked.as_str())];
    assert_eq!(cloud.send("DELETE", "/identity/v3/auth/tokens", &headers, "").await.status, 204);
    let (taken, released) = (vip(network_id, subnet_id), vip(network_id, subnet_id));
    let port = cloud.local.network().vip_ensure(&taken).await.unwrap();
    cloud.local.network().vip_ensure(&released).await.unwrap();
    cloud.local.network().vip_release(released.load_balancer_id).await.unwrap();
    let before = (
        cloud.password("demo"),
        heartbeat_key(&cloud),
        cloud.local.ticket_key().to_owned(),
        cloud.local.management_address(),
        cloud.local.cert_issuer().trust().bundle(),
        cloud.get(&kept, "/identity/v3/auth/catalog").await.body,
        cloud.get(&kept, "/networking/v2.0/subnets").await.body,
    );

    // What a crash in the middle of a write leaves.
    let unfinished = cloud.path().join("cloud/ports/half.json.tmp");
    std::fs::write(&unfinished, "{").unwrap();

    let cloud = cloud.restarted(options());
    assert!(!unfinished.exists());
    let after = (
        cloud.password("demo"),
        heartbeat_key(&cloud),
        cloud.local.ticket_key().to_owned(),
        cloud.local.management_address(),
        cloud.local.cert_issuer().trust().bundle(),
        cloud.get(&kept, "/identity/v3/auth/catalog").await.body,
        cloud.get(&kept, "/networking/v2.0/subnets").await.body,
    );
    assert_eq!(before, after);
    assert_eq!(cloud.get(&revoked, "/identity/v3/auth/catalog").await.status, 401);
    assert_eq!(cloud.local.network().vip_ensure(&taken).await, Ok(port));
    assert_eq!(cloud.local.network().vip_list().await.unwrap(), [taken.load_balancer_id]);
    assert_eq!(cloud.login(&login("demo", &cloud.password("demo"), &project("demo"))).await.status, 201);
}

#[tokio::test]
async fn a_users_port_is_bound_and_given_back() {
    let cloud = Cloud::new();
    let (network_id, subnet_id) = ids(&cloud).await;
    let token = cloud.token("demo").await;
    let body = json!({"port": {"network_id": network_id, "name": "mine"}}).to_string();
    let answer = cloud.send("POST", "/networking/v2.0/ports", &[("x-auth-token", &token)], &body).await;
    let port_id: PortId = answer.body["port"]["id"].as_str().unwrap().parse().unwrap();
    let own = ProjectId::new(answer.body["port"]["project_id"].as_str().unwrap());
    let path = format!("/networking/v2.0/ports/{port_id}");
    let network = cloud.local.network();
    let request =
        VipRequest { port_id: Some(port_id), project_id: own.clone(), ..vip(network_id, subnet_id) };
    let thief = VipRequest { port_id: Some(port_id), ..vip(network_id, subnet_id) };
    assert!(network.vip_ensure(&thief).await.is_err(), "of another project");

    let got = network.vip_ensure(&request).await.unwrap();
    assert!(!got.owned && got.port_id == port_id);
    assert_eq!(got.address.to_string(), answer.body["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap());
    assert_eq!(network.vip_ensure(&request).await.as_ref(), Ok(&got));
    let second = VipRequest { load_balancer_id: LoadBalancerId::new_v4(), ..request.clone() };
    assert!(network.vip_ensure(&second).await.is_err(), "in use");
    let bound = cloud.get(&token, &path).await.body["port"].clone();
    assert_eq!(bound["device_id"], format!("lb-{}", request.load_balancer_id));
    assert_eq!(cloud.send("DELETE", &path, &[("x-auth-token", &token)], "").await.status, 409);

    network.vip_release(request.load_balancer_id).await.unwrap();
    let free = cloud.get(&token, &path).await.body["port"].clone();
    assert_eq!((&free["device_id"], &free["name"]), (&json!(""), &json!("mine")));
    assert_eq!(cloud.send("DELETE", &path, &[("x-auth-token", &token)], "").await.status, 204);
}

#[tokio::test]
async fn passwords_that_are_lost_are_renewed() {
    let cloud = Cloud::new();
    let (old, token) = (cloud.password("admin"), cloud.token("admin").await);
    fs::remove_file(cloud.path().join("clouds.yaml")).unwrap();
    let cloud = cloud.restarted(options());
    let new = cloud.password("admin");
    assert_ne!(old, new);
    assert_eq!(cloud.login(&login("admin", &old, &project("admin"))).await.status, 401);
    assert_eq!(cloud.login(&login("admin", &new, &project("admin"))).await.status, 201);
    assert_eq!(cloud.get(&token, "/identity/v3/users").await.status, 200, "tokens stay good");
}

/// As in a directory of before there was one.
#[test]
fn a_ticket_key_that_is_taken_out_is_made_anew_and_stays() {
    let cloud = Cloud::new();
    let file = cloud.path().join("cloud/cloud.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let first = settings.as_object_mut().unwrap().remove("ticket_key").unwrap();
    assert_eq!(first, cloud.local.ticket_key());
    fs::write(&file, settings.to_string()).unwrap();
    let cloud = cloud.restarted(options());
    let second = cloud.local.ticket_key().to_owned();
    assert!(second != first && second.len() == 43, "{second}");
    let key = heartbeat_key(&cloud);
    let cloud = cloud.restarted(options());
    assert_eq!((cloud.local.ticket_key(), heartbeat_key(&cloud)), (&*second, key));
}

#[test]
fn only_clouds_yaml_has_a_password_and_nobody_else_reads_anything() {
    let cloud = Cloud::new();
    let mut files = vec![];
    walk(cloud.path(), &mut files);
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let metadata = fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode, if metadata.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if metadata.is_file() && path.file_name().unwrap() != "clouds.yaml" {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains(&cloud.password("admin")) && !text.contains(&cloud.password("demo")));
        }
    }
    let shown = format!("{:?}", cloud.local);
    let keys = [heartbeat_key(&cloud), cloud.local.ticket_key().to_owned()];
    for secret in [cloud.password("admin"), cloud.password("demo")].iter().chain(&keys) {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(!["PRIVATE", "pbkdf2", "_key"].iter().any(|word| shown.contains(word)), "{shown}");
}

fn heartbeat_key(cloud: &Cloud) -> String {
    cloud.local.cert_issuer().trust().heartbeat_key.reveal().to_owned()
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn one_directory_is_for_one_process() {
    let cloud = Cloud::new();
    let error = LocalCloud::open(cloud.path(), options()).unwrap_err();
    assert!(matches!(error, OpenError::NetworkTaken(_)), "{error}");
}

#[test]
fn damaged_state_is_refused_with_its_path() {
    for file in ["cloud/cloud.json", "cloud/trust.json", "cloud/ports/x.json"] {
        let cloud = Cloud::new();
        fs::write(cloud.path().join(file), "{").unwrap();
        let Cloud { dir, local, .. } = cloud;
        drop(local);
        let error = open_again(dir.path(), options()).unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. }) && error.to_string().contains(file),
            "{file}: {error}"
        );
    }
}
