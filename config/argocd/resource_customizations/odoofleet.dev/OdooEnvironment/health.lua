-- Health of an OdooEnvironment. Its conditions are those of kstatus: Reconciling and Stalled are there only while they are true, and all of
-- them speak of the spec only if observedGeneration does.
if obj.metadata.deletionTimestamp ~= nil then
  local message = "it is being deleted"
  if obj.status ~= nil and obj.status.message ~= nil then
    message = obj.status.message
  end
  return { status = "Progressing", message = message }
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
  -- Stopped as the spec or its customer's state wants it.
  if status.phase == "Stopped" then
    return { status = "Suspended", message = ready.message }
  end
  return { status = "Healthy", message = ready.message }
end
local stalled = conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
-- Its pods fail: Kubernetes goes on trying, but somebody should look.
if status.phase == "Error" then
  return { status = "Degraded", message = ready.message }
end
return { status = "Progressing", message = ready.message }
