//! What operators offer: flavors, availability zones, their profiles, and load balancers made of them.

use serde_json::{Value, json};

use crate::world::{ADMIN, MEMBER, NETWORK, OTHER_NETWORK, SUBNET, World};

impl World {
    async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then(|| body.to_string());
        let reply = self.call_as(ADMIN, method, path, body.as_deref()).await;
        let expected = match method {
            "POST" => 201,
            "DELETE" => 204,
            _ => 200,
        };
        reply.expect(expected)
    }
}

#[tokio::test]
async fn from_a_profile_to_a_load_balancer_and_back() {
    let world = World::new().await;
    // The text comes back as it was typed.
    let data = " {\"loadbalancer_topology\" : \"SINGLE\"}\n";
    let profile = json!({ "name": "p", "provider_name": "amphora", "flavor_data": data });
    let profile = world.offer("flavorprofiles", "flavorprofile", profile).await;
    let profile_id = profile["id"].as_str().expect("an id");
    assert_eq!(
        profile,
        json!({ "id": profile_id, "name": "p", "provider_name": "amphora", "flavor_data": data })
    );
    let path = format!("flavorprofiles/{profile_id}");
    assert_eq!(world.admin("GET", &path, Value::Null).await["flavorprofile"], profile);
    let change = json!({ "flavorprofile": { "name": "", "provider_name": "octavia" } });
    let changed = world.admin("PUT", &path, change).await;
    assert_eq!(changed["flavorprofile"]["provider_name"], "octavia");
    assert_eq!(changed["flavorprofile"]["flavor_data"], data);
    world.admin("PUT", &path, json!({ "flavorprofile": { "provider_name": "amphora" } })).await;

    let flavor = json!({ "name": "f", "flavor_profile_id": profile_id.to_uppercase() });
    let flavor = world.offer("flavors", "flavor", flavor).await;
    let id = flavor["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        flavor,
        json!({ "id": id, "name": "f", "description": "", "enabled": true, "flavor_profile_id": profile_id })
    );
    let flavor_path = format!("flavors/{id}");
    assert_eq!(world.get(&flavor_path).await["flavor"], flavor);
    assert_eq!(world.get(&format!("{flavor_path}?fields=name")).await, json!({ "flavor": { "name": "f" } }));

    let lb = world.load_balancer(MEMBER, json!({ "flavor_id": id })).await;
    let lb_path = format!("loadbalancers/{lb}");
    let shown = world.get(&lb_path).await;
    assert_eq!(shown["loadbalancer"]["flavor_id"], json!(id));
    assert_eq!(shown["loadbalancer"]["provider"], "amphora");
    let of_flavor = world.get(&format!("loadbalancers?flavor_id={id}")).await;
    assert_eq!(of_flavor["loadbalancers"].as_array().map(Vec::len), Some(1));

    // In use: everything but its meaning changes.
    world.admin("PUT", &path, json!({ "flavorprofile": { "name": "renamed" } })).await;
    let change = json!({ "flavor": { "name": "g", "description": null, "enabled": "no" } });
    let changed = world.admin("PUT", &flavor_path, change).await;
    assert_eq!((&changed["flavor"]["name"], &changed["flavor"]["enabled"]), (&json!("g"), &json!(false)));
    let more = json!({ "loadbalancer": { "vip_subnet_id": SUBNET, "flavor_id": id } });
    assert_eq!(world.post("loadbalancers", more).await.status, 400, "it is disabled");

    world.delete(&lb_path).await.expect(204);
    let refused = world.call_as(ADMIN, "DELETE", &flavor_path, None).await;
    assert_eq!(refused.status, 409, "on its way out it is still there");
    let lease = world.lease(lb).await;
    world.store.lb_deleted(&lease).await.expect("deleted");
    world.admin("DELETE", &flavor_path, Value::Null).await;
    world.admin("DELETE", &path, Value::Null).await;
    assert_eq!(world.get("flavors").await, json!({ "flavors": [], "flavors_links": [] }));
}

#[tokio::test]
async fn zones_are_called_by_their_names() {
    let world = World::new().await;
    let data = json!({ "valid_vip_networks": [NETWORK] }).to_string();
    let profile = json!({ "name": "p", "provider_name": "amphora", "availability_zone_data": data });
    let profile = world.offer("availabilityzoneprofiles", "availability_zone_profile", profile).await;
    let profile_path = format!("availabilityzoneprofiles/{}", profile["id"].as_str().expect("an id"));
    let shown = world.admin("GET", &profile_path, Value::Null).await;
    assert_eq!(shown["availability_zone_profile"], profile);
    let rename = json!({ "availability_zone_profile": { "name": "q" } });
    let zone = json!({
        "name": "a/b ü?", "description": null, "enabled": 1, "availability_zone_profile_id": profile["id"],
    });
    let zone = world.offer("availabilityzones", "availability_zone", zone).await;
    assert_eq!(
        zone,
        json!({
            "name": "a/b ü?", "description": "", "enabled": true,
            "availability_zone_profile_id": profile["id"],
        })
    );
    let changed = world.admin("PUT", &profile_path, rename).await;
    assert_eq!(changed["availability_zone_profile"]["name"], "q");

    let path = "availabilityzones/a%2Fb%20%C3%BC%3F";
    assert_eq!(world.get(path).await["availability_zone"], zone);
    let lb = world.load_balancer(MEMBER, json!({ "availability_zone": "a/b ü?" })).await;
    let shown = world.get(&format!("loadbalancers/{lb}")).await;
    assert_eq!(shown["loadbalancer"]["availability_zone"], "a/b ü?");
    let change = json!({ "availability_zone": { "enabled": false, "description": "d" } });
    let changed = world.admin("PUT", path, change).await;
    assert_eq!(changed["availability_zone"]["description"], "d");
    assert_eq!(changed["availability_zone"]["enabled"], false);
    world.delete(&format!("loadbalancers/{lb}")).await.expect(204);
    let lease = world.lease(lb).await;
    world.store.lb_deleted(&lease).await.expect("deleted");
    world.admin("DELETE", path, Value::Null).await;
    world.admin("DELETE", &profile_path, Value::Null).await;
}

/// Flavor and provider of a request, and the provider of the load balancer.
#[tokio::test]
async fn a_flavor_chooses_the_provider() {
    let world = World::new().await;
    world.catalogue().await;
    for (flavor, provider, expected) in [
        ("small", Value::Null, "amphora"),
        ("alias", Value::Null, "octavia"),
        ("alias", json!("octavia"), "octavia"),
    ] {
        let mut extra = json!({ "flavor_id": world.flavor_ids(flavor).await.0 });
        if !provider.is_null() {
            extra["provider"] = provider;
        }
        let lb = world.load_balancer(MEMBER, extra).await;
        let shown = world.get(&format!("loadbalancers/{lb}")).await;
        assert_eq!(shown["loadbalancer"]["provider"], expected, "{flavor}");
    }
}

#[tokio::test]
async fn lists() {
    let world = World::new().await;
    world.catalogue().await;
    let names = |list: &Value, key: &str| {
        let rows = list[key].as_array().expect("a list").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>().join(" ")
    };
    let (small, small_profile) = world.flavor_ids("small").await;
    let zone_profile = world.zone_profile_id("here").await;
    let data = format!("{{%22valid_vip_networks%22:[%22{OTHER_NETWORK}%22]}}");
    for (path, key, expected) in [
        ("flavors?sort=name".to_owned(), "flavors", "alias off pair small"),
        ("flavors?sort=name:desc&limit=2".to_owned(), "flavors", "small pair"),
        ("flavors?sort=enabled,name".to_owned(), "flavors", "off alias pair small"),
        ("flavors?enabled=no".to_owned(), "flavors", "off"),
        (format!("flavors?id={small}&description="), "flavors", "small"),
        (format!("flavors?flavor_profile_id={small_profile}"), "flavors", "small"),
        ("flavorprofiles?provider_name=octavia".to_owned(), "flavorprofiles", "alias"),
        ("flavorprofiles?flavor_data={}&sort=name".to_owned(), "flavorprofiles", "alias off"),
        ("availabilityzones".to_owned(), "availability_zones", "closed computing elsewhere here"),
        ("availabilityzones?enabled=0".to_owned(), "availability_zones", "closed"),
        (
            format!("availabilityzones?availability_zone_profile_id={zone_profile}"),
            "availability_zones",
            "here",
        ),
        (
            format!("availabilityzoneprofiles?availability_zone_data={data}"),
            "availability_zone_profiles",
            "elsewhere",
        ),
    ] {
        let list = world.admin("GET", &path, Value::Null).await;
        assert_eq!(names(&list, key), expected, "{path}");
    }
    let list = world.get("availabilityzones?fields=enabled&name=here").await;
    assert_eq!(list["availability_zones"], json!([{ "enabled": true }]));

    // Every page is found by the link to it, also where names mark them.
    world.zone("é /", json!({}), true).await;
    for (first, key, links, expected) in [
        ("flavors?limit=3&sort=name", "flavors", "flavors_links", "alias off pair|small"),
        ("flavorprofiles?limit=3&sort=name", "flavorprofiles", "flavorprofile_links", "alias off pair|small"),
        (
            "availabilityzones?limit=2&sort=name:desc",
            "availability_zones",
            "availability_zones_links",
            "é / here|elsewhere computing|closed",
        ),
        (
            "availabilityzoneprofiles?limit=5&sort=name",
            "availability_zone_profiles",
            "availability_zone_profile_links",
            "closed computing elsewhere here é /|",
        ),
    ] {
        let (mut path, mut seen) = (first.to_owned(), vec![]);
        loop {
            let page = world.admin("GET", &path, Value::Null).await;
            seen.push(names(&page, key));
            let all = page[links].as_array().expect("links");
            let Some(next) = all.iter().find(|link| link["rel"] == "next") else { break };
            path = next["href"].as_str().expect("a URL").replace("http://api.test:9876", "");
        }
        assert_eq!(seen.join("|"), expected, "{first}");
    }
    let first = world.get("availabilityzones?limit=1&sort=name:desc").await;
    let href = first["availability_zones_links"][0]["href"].as_str().expect("a URL");
    assert!(href.ends_with("?limit=1&sort=name:desc&marker=%C3%A9%20%2F"), "{href}");
}

#[tokio::test]
async fn providers_say_what_they_know() {
    let world = World::new().await;
    let keys = |list: &Value| {
        let rows = list.as_array().expect("a list").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (path, key, expected) in [
        (
            "providers/amphora/flavor_capabilities",
            "flavor_capabilities",
            "loadbalancer_topology compute_flavor amp_image_tag sriov_vip allow_member_sriov",
        ),
        ("providers/octavia/flavor_capabilities?name=sriov_vip&x=y", "flavor_capabilities", "sriov_vip"),
        (
            "providers/octavia/availability_zone_capabilities",
            "availability_zone_capabilities",
            "compute_zone volume_zone management_network valid_vip_networks",
        ),
        ("providers?name=octavia", "providers", "octavia"),
    ] {
        let list = world.admin("GET", path, Value::Null).await;
        assert_eq!(keys(&list[key]), expected, "{path}");
        assert_eq!(list.as_object().map(serde_json::Map::len), Some(1), "no links: {list}");
    }
    // Clients compare these two texts.
    let path = "providers/amphora/flavor_capabilities?fields=description&name=loadbalancer_topology";
    let topology = "The load balancer topology. One of: SINGLE - One amphora per load balancer. \
                    ACTIVE_STANDBY - Two amphora per load balancer.";
    let list = world.admin("GET", path, Value::Null).await;
    assert_eq!(list, json!({ "flavor_capabilities": [{ "description": topology }] }));
    let path = "providers/amphora/availability_zone_capabilities?name=compute_zone";
    let zone = json!({ "name": "compute_zone", "description": "The compute availability zone." });
    let list = world.admin("GET", path, Value::Null).await;
    assert_eq!(list, json!({ "availability_zone_capabilities": [zone] }));
}
