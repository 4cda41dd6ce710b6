-- Starts, with as many pods as the action stop has stopped; with one if something else has.
local name = "odoofleet.dev/replicas"
local before = nil
if obj.metadata.annotations ~= nil and obj.metadata.annotations[name] ~= nil then
  before = tonumber(obj.metadata.annotations[name])
  -- It is not for another time. Empty, because Argo CD would bring it back if it were removed as the only annotation.
  obj.metadata.annotations[name] = ""
end
if before == nil or before < 1 then
  before = 1
end
obj.spec.replicas = before
return obj
