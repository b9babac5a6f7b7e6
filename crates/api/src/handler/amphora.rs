//! Amphorae, for administrators.

use http::StatusCode;

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::view;
use crate::view::amphora::AmphoraView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let project = arguments.project_id.clone().map(octavia_model::ProjectId::new);
    let fields = call.fields();
    let rows = call.state.store.amphora_list(&call.list_query(&arguments, project)).await?;
    let rows = rows
        .items
        .into_iter()
        .map(|amphora| (amphora.id.to_string(), view::render(&AmphoraView::one(&amphora), &fields)));
    let page = Page { key: "amphorae", links_key: "amphorae_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let id = call.id(0, "Amphora")?;
    let amphora = call.state.store.amphora_fetch(id).await?.ok_or_else(|| Fault::not_found("Amphora", id))?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, "amphora", &AmphoraView::one(&amphora), &call.fields()))
}
