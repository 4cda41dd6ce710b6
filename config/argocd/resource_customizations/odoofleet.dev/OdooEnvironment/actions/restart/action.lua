-- Replaces the pods one by one.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["odoofleet.dev/restartedAt"] = os.date("!%Y-%m-%dT%XZ")
return obj
