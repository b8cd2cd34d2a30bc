//! `gracetrace schema`: the JSON Schema of the report, from its types.

use crate::report::{API_VERSION, KIND, Report};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Where the schema says it lives.
pub const ID: &str = "https://gracetrace.dev/schemas/v1/shutdown-report.json";

/// The schema (draft 2020-12). It describes what is written, so every field is required; further
/// fields are allowed, for later versions add some.
pub fn report() -> Value {
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>();
    let mut schema = schema.to_value();
    schema["$id"] = json!(ID);
    schema["title"] = json!("gracetrace shutdown report");
    schema["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    schema["properties"]["kind"]["const"] = json!(KIND);
    schema["properties"]["startTime"]["format"] = json!("date-time");
    schema
}
