-- Stops: Odoo first, then its database. How many pods there were is written down for start.
if obj.spec.replicas == nil then
  obj.spec.replicas = 1
end
if obj.spec.replicas > 0 then
  if obj.metadata.annotations == nil then
    obj.metadata.annotations = {}
  end
  obj.metadata.annotations["odoofleet.dev/replicas"] = tostring(obj.spec.replicas)
end
obj.spec.replicas = 0
return obj
