-- SPDX-License-Identifier: Apache-2.0
-- Less than the job: the ten values as ten keys of metadata, no file.
function envoy_on_request(handle)
  local h = handle:headers()
  handle:streamInfo():dynamicMetadata():set("bench", "request", {
    method = h:get(":method"), path = h:get(":path"), authority = h:get(":authority"),
    user_agent = h:get("user-agent"), accept = h:get("accept"), request_id = h:get("x-request-id"),
  })
end

function envoy_on_response(handle)
  local h = handle:headers()
  handle:streamInfo():dynamicMetadata():set("bench", "response", {
    response_code = h:get(":status"), content_type = h:get("content-type"),
    content_length = h:get("content-length"), served_by = h:get("x-served-by"),
  })
end
