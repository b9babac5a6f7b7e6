//! What each endpoint does, one module per resource and the same shape in each: decode → find → authorize → check →
//! change → show.

mod amphora;
mod health_monitor;
mod listener;
mod load_balancer;
mod member;
mod pool;
mod quota;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Answer, Call};
use crate::endpoint::Operation as Op;
use crate::fault::Fault;
use crate::view;
use crate::view::provider::ProviderView;

pub(crate) async fn dispatch(call: &Call) -> Result<Answer, Fault> {
    match call.endpoint.operation {
        Op::LoadBalancerList => load_balancer::list(call).await,
        Op::LoadBalancerCreate => load_balancer::create(call).await,
        Op::LoadBalancerShow => load_balancer::show(call).await,
        Op::LoadBalancerUpdate => load_balancer::update(call).await,
        Op::LoadBalancerDelete => load_balancer::delete(call).await,
        Op::LoadBalancerStatus => load_balancer::status(call).await,
        Op::LoadBalancerStats => load_balancer::stats(call).await,
        Op::LoadBalancerFailover => load_balancer::failover(call).await,
        Op::ListenerList => listener::list(call).await,
        Op::ListenerCreate => listener::create(call).await,
        Op::ListenerShow => listener::show(call).await,
        Op::ListenerUpdate => listener::update(call).await,
        Op::ListenerDelete => listener::delete(call).await,
        Op::ListenerStats => listener::stats(call).await,
        Op::PoolList => pool::list(call).await,
        Op::PoolCreate => pool::create(call).await,
        Op::PoolShow => pool::show(call).await,
        Op::PoolUpdate => pool::update(call).await,
        Op::PoolDelete => pool::delete(call).await,
        Op::MemberList => member::list(call).await,
        Op::MemberCreate => member::create(call).await,
        Op::MemberBatch => member::batch(call).await,
        Op::MemberShow => member::show(call).await,
        Op::MemberUpdate => member::update(call).await,
        Op::MemberDelete => member::delete(call).await,
        Op::HealthMonitorList => health_monitor::list(call).await,
        Op::HealthMonitorCreate => health_monitor::create(call).await,
        Op::HealthMonitorShow => health_monitor::show(call).await,
        Op::HealthMonitorUpdate => health_monitor::update(call).await,
        Op::HealthMonitorDelete => health_monitor::delete(call).await,
        Op::AmphoraList => amphora::list(call).await,
        Op::AmphoraShow => amphora::show(call).await,
        Op::QuotaList => quota::list(call).await,
        Op::QuotaShow => quota::show(call).await,
        Op::QuotaUpdate => quota::update(call).await,
        Op::QuotaDelete => quota::delete(call).await,
        Op::QuotaDefaults => quota::defaults(call),
        Op::ProviderList => provider_list(call),
        Op::EmptyList(key, links_key) => empty_list(call, key, links_key),
        Op::NeverFound(resource) => Err(Fault::not_found(resource, call.parameter(0))),
        Op::ParentNeverFound(resource) => {
            Err(Fault::ParentNotFound { resource, id: call.parameter(0).to_owned() })
        }
        Op::Unbuilt(what) => {
            call.authorize_own()?;
            Err(Fault::NotImplemented(what.to_owned()))
        }
    }
}

fn provider_list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let fields = call.fields();
    let providers = call.state.options.enabled_providers.iter();
    let rows: Vec<Value> = providers
        .map(|(name, description)| view::render(&ProviderView { name, description }, &fields))
        .collect();
    Ok(Answer::Json(StatusCode::OK, json!({ "providers": rows })))
}

fn empty_list(call: &Call, key: &str, links_key: &str) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    if key == "l7policies" {
        call.list_project(&arguments)?;
    } else {
        call.authorize_own()?;
    }
    let mut document = Map::new();
    document.insert(key.to_owned(), json!([]));
    document.insert(links_key.to_owned(), json!([]));
    Ok(Answer::Json(StatusCode::OK, Value::Object(document)))
}
