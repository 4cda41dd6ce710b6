-- Health of OdooCustomer, OdooTemplate and OdooEnvironment for Argo CD, from their conditions.
local progressing = { status = "Progressing", message = "the operator has not looked at it yet" }

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return progressing
end

local ready, stalled
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  end
end
if ready == nil then
  return progressing
end

if ready.reason == "Paused" then
  return { status = "Suspended", message = ready.message }
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
if stalled ~= nil or status.phase == "Error" then
  return { status = "Degraded", message = (stalled or ready).message }
end
return { status = "Progressing", message = ready.message }
