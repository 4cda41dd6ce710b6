-- Health of an OdooCustomer, by the conditions of kstatus. That its environments are stopped is told by them.
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "it is being deleted; its environments go first" }
end

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not looked at it yet" }
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if ready == nil then
  return { status = "Progressing", message = "the operator has not looked at it yet" }
end

if ready.reason == "Paused" then
  return { status = "Suspended", message = ready.message }
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
local stalled = conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
return { status = "Progressing", message = ready.message }
