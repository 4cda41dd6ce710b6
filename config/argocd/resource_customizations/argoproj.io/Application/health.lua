-- Health of an Application, which Argo CD itself leaves open: with it, a wave of Applications waits for those of the wave before.
if obj.status == nil or obj.status.health == nil or obj.status.health.status == nil then
  return { status = "Progressing", message = "Argo CD has not looked at it yet" }
end
local message = "the Application is " .. obj.status.health.status
if obj.status.health.message ~= nil then
  message = obj.status.health.message
end
return { status = obj.status.health.status, message = message }
