-- SPDX-License-Identifier: Apache-2.0
-- The job in Lua: ten values by name, a line into a buffered file, and the line as filter state. The
-- response's hook cannot see the request, so its part goes through a filter state of its own (which
-- costs less than dynamic metadata).
local out = assert(io.open("@PATH@", "a"))
out:setvbuf("full", 65536)

function envoy_on_request(handle)
  local h = handle:headers()
  local line = table.concat({
    h:get(":method"), h:get(":path"), h:get(":authority"),
    h:get("user-agent"), h:get("accept"), h:get("x-request-id"),
  }, "\t")
  handle:streamInfo():filterState():set("request", "envoy.string", line)
end

function envoy_on_response(handle)
  local state = handle:streamInfo():filterState()
  local h = handle:headers()
  local line = table.concat({
    state:get("request"), h:get(":status"), h:get("content-type"),
    h:get("content-length"), h:get("x-served-by"),
  }, "\t")
  state:set("bench", "envoy.string", line)
  out:write(line, "\n")
end
